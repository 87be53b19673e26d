"""`packed_conv` for processors: weights as panels of 16 outputs, and the compiled loops over channels-last maps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spt_kernels import native
from spt_kernels.tile_conv.cpu import spread

LANES, VECTOR = 16, 8  # outputs of a panel; channels that tiles are made of at once
MOST_PARTS = 4
LAST = torch.channels_last


def pack(weight: Tensor) -> Tensor:
    """[o c k k] as panels [o/16, k k c, 16], the channels of one tap side by side."""
    return _panels(weight.permute(0, 2, 3, 1).flatten(1))


def pack_taps(weight: Tensor) -> Tensor:
    """[o c k k] as one matrix of all taps, its panels [k k o / 16, c, 16] filled up with zeros."""
    taps = weight.permute(2, 3, 0, 1).flatten(0, 2)
    return _panels(torch.nn.functional.pad(taps, (0, 0, 0, -len(taps) % LANES)))


def pack_phases(weight: Tensor) -> Tensor:
    """[c o 4 4], transposed, as the panels [4, o/16, 4 c, 16] of its four phases of 2x2."""
    return torch.stack([pack(phase) for phase in phases(weight)])


def pack_tiles(weight: Tensor) -> Tensor:
    """[c o 4 4], transposed, as the panels [36, 4 o/16, c, 16] that multiply tiles."""
    return torch.stack([_panels(number) for number in spread(phases(weight).flatten(0, 1))])


def phases(weight: Tensor) -> Tensor:
    """The 2x2 kernels of a transposed 4x4 kernel's phases, [4 o c 2 2], by row, then by column.

    Row `2 i + p` of the result reads rows `i - 1 + p` and `i + p` of the maps, under the taps `3 - p` and `1 - p`.
    """
    channels, outputs = weight.shape[:2]
    taps = weight.flip(2, 3).reshape(channels, outputs, 2, 2, 2, 2)  # rows as (tap, phase), columns as well
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(4, outputs, channels, 2, 2)


def _panels(matrix: Tensor) -> Tensor:
    """[o, d] as [o/16, d, 16]."""
    return matrix.reshape(-1, LANES, matrix.shape[1]).transpose(1, 2).contiguous()


def conv(maps: Sequence[Tensor], panels: Tensor, bias: Tensor | None, kernel: int, stride: int, slope: float) -> Tensor:
    """The convolution of what `pack` has packed, padded by one pixel."""
    padded, (b, h, w, channels, pixel) = _pad(maps, 1, slope)
    outputs = LANES * len(panels)
    result = _empty(b, outputs, (h - kernel) // stride + 1, (w - kernel) // stride + 1)
    sizes = (b, h, w, channels, pixel, kernel, stride, outputs)
    native.call("spt_packed_conv", padded, panels, 0 if bias is None else bias, result, *sizes)
    return result


def conv_taps(maps: Sequence[Tensor], panels: Tensor, bias: Tensor, slope: float) -> Tensor:
    """The 3x3 convolution of what `pack_taps` has packed."""
    parts, layout = _parts(maps)
    (b, _, h, w), taps = maps[0].shape, LANES * len(panels)
    result = _empty(b, len(bias), h, w)
    sizes = (b, h, w, panels.shape[1], taps, len(bias))
    native.call("spt_packed_taps", *parts, layout, panels, bias, result, *sizes, float(slope))
    return result


def conv_phases(maps: Sequence[Tensor], panels: Tensor, slope: float) -> Tensor:
    """The doubling convolution of what `pack_phases` has packed."""
    padded, (b, h, w, channels, pixel) = _pad(maps, 1, slope)
    outputs = LANES * panels.shape[1]
    result = _empty(b, outputs, 2 * (h - 2), 2 * (w - 2))
    native.call("spt_packed_conv_transposed", padded, panels, result, b, h, w, channels, pixel, outputs)
    return result


def conv_tiles(maps: Sequence[Tensor], panels: Tensor, slope: float) -> Tensor:
    """The doubling convolution of what `pack_tiles` has packed."""
    parts, layout = _parts(maps)
    (b, _, h, w), outputs = maps[0].shape, LANES * panels.shape[1] // 4
    result = _empty(b, outputs, 2 * h, 2 * w)
    channels = sum(part.shape[1] for part in maps)
    native.call("spt_packed_tiles_transposed", *parts, layout, panels, result, b, h, w, channels, outputs, float(slope))
    return result


def _pad(maps: Sequence[Tensor], pad: int, slope: float) -> tuple[Tensor, tuple[int, int, int, int, int]]:
    """The parts as one map with a border; its batch, height, width, channels and numbers a pixel."""
    parts, layout = _parts(maps, planes=True)
    (b, _, h, w), channels = maps[0].shape, sum(part.shape[1] for part in maps)
    pixel = channels + LANES if channels % 256 == 0 else channels  # pixels 1 kB apart share few places of a cache
    padded = maps[0].new_empty(b, h + 2 * pad, w + 2 * pad, pixel)
    native.call("spt_packed_pad", *parts, layout, padded, b, h, w, pad, pixel, float(slope))
    return padded, (b, h + 2 * pad, w + 2 * pad, channels, pixel)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, memory_format=LAST)


def _parts(maps: Sequence[Tensor], planes: bool = False) -> tuple[list[Tensor], Tensor]:
    """As many maps as the loops take, the last one again for those that are missing, and how each lies in memory.

    Maps become channels-last; with `planes`, those that are whole planes stay as they are.
    """
    assert len(maps) <= MOST_PARTS
    parts, layout = [], []
    for part in maps:
        channels, w = part.shape[1], part.shape[3]
        last = part.is_contiguous(memory_format=LAST)
        kept = planes and not last and part.stride()[2:] == (w, 1)
        parts.append(part if kept else part.contiguous(memory_format=LAST))
        layout += [channels, part.stride(1), part.stride(0)] if kept else [channels, 0, 0]
    missing = MOST_PARTS - len(parts)
    return parts + parts[-1:] * missing, torch.tensor(layout + [0, 0, 0] * missing)
