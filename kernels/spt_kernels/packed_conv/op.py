"""The doors into `packed_conv`: weights are packed once; what does not fit is torch's own convolution."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.packed_conv import cpu, reference
from spt_kernels.packed_conv.reference import Parts
from spt_kernels.paths import is_on_processor

STRIDES = {3: 1, 4: 2}  # by kernel
MOST_TAPS = 96  # numbers a pixel, of a kernel to so few channels that they would leave a panel empty
LEAST_CHANNELS, LEAST_PIXELS = 64, 32 * 32  # of all maps together; below, tiles move as much as they save
MOST_TILED = 40_000_000  # numbers (160 MB); weights of more channels sit under the smallest maps


def pack(weight: Float[Tensor, "o c k k"]) -> Tensor | None:
    """A weight as `packed_conv` multiplies it, as large as before; nothing where it would be of no use.

    Kernels of 3x3 and of 4x4 are packed, float32 on processors: to a multiple of 16 channels, or 3x3 to at most 10.
    """
    outputs, _, kernel, _ = weight.shape
    if not _fits(weight) or kernel not in STRIDES:
        return None
    if outputs % cpu.LANES == 0:
        return cpu.pack(weight.detach())
    return cpu.pack_taps(weight.detach()) if kernel == 3 and outputs * kernel**2 <= MOST_TAPS else None


def pack_transposed(weight: Float[Tensor, "c o 4 4"]) -> tuple[Tensor | None, Tensor | None]:
    """A weight as `packed_conv_transposed` multiplies pixels, as large as before, and tiles, nine times that.

    Either is missing where it would be of no use: both unless the convolution gives a multiple of 16 channels, float32
    on processors; the latter for few channels, and above `MOST_TILED`.
    """
    channels, outputs = weight.shape[:2]
    if not _fits(weight) or outputs % cpu.LANES:
        return None, None
    tiled = min(channels, 4 * outputs) >= LEAST_CHANNELS and 9 * weight.numel() <= MOST_TILED
    return cpu.pack_phases(weight.detach()), cpu.pack_tiles(weight.detach()) if tiled else None


def packed_conv(
    maps: Parts,
    weight: Float[Tensor, "o c k k"],
    bias: Float[Tensor, " o"] | None,
    packed: Tensor | None,
    stride: int = 1,
    slope: float = 1.0,
) -> Float[Tensor, "b o i j"]:
    """Convolve maps that lie side by side along the channels, padded by one, without gradients.

    On processors a packed weight does; where nothing is packed, and elsewhere, torch's own convolution.

    Args:
        maps: 1 to 4 parts of what is convolved.
        weight: as `torch.nn.functional.conv2d` has it: 3x3 with stride 1, or 4x4 with stride 2.
        bias: added to each of the result's channels.
        packed: `pack(weight)`, for a weight that stays as it is.
        stride: 1 or 2.
        slope: of a leaky ReLU in front; 1 is none, 0 a ReLU.

    Returns:
        Maps, channels-last on processors.
    """
    if packed is None or not _fits(*maps):
        return reference.packed_conv(maps, weight, bias, stride, slope)
    assert STRIDES[weight.shape[2]] == stride
    return _conv(list(maps), packed, bias, weight.shape[0], weight.shape[2], float(slope))


def packed_conv_transposed(
    maps: Parts,
    weight: Float[Tensor, "c o 4 4"],
    phases: Tensor | None,
    tiles: Tensor | None,
    slope: float = 1.0,
) -> Float[Tensor, "b o i j"]:
    """Convolve transposed with stride 2 and padding 1: doubles the size; the rest as in `packed_conv`.

    Args:
        maps: 1 to 4 parts of what is convolved.
        weight: as `torch.nn.functional.conv_transpose2d` has it.
        phases: the first of `pack_transposed(weight)`.
        tiles: the second, taken from `LEAST_PIXELS` on.
        slope: of a leaky ReLU in front; 1 is none, 0 a ReLU.

    Returns:
        Maps of `2 h` rows and `2 w` columns; by tiles, differences are those of `tile_conv`.
    """
    if phases is None or not _fits(*maps):
        return reference.packed_conv_transposed(maps, weight, slope)
    b, _, h, w = maps[0].shape
    tiled = tiles is not None and b * h * w >= LEAST_PIXELS and not any(part.shape[1] % cpu.VECTOR for part in maps)
    return _doubled(list(maps), tiles if tiled else phases, float(slope))


def _fits(*tensors: Tensor) -> bool:
    return all(is_on_processor(tensor) and tensor.dtype == torch.float32 for tensor in tensors)


@torch.library.custom_op("spt_kernels::packed_conv", mutates_args=(), device_types="cpu")
def _conv(
    maps: Sequence[Tensor], packed: Tensor, bias: Tensor | None, outputs: int, kernel: int, slope: float
) -> Tensor:
    if outputs % cpu.LANES:
        return cpu.conv_taps(maps, packed, packed.new_zeros(outputs) if bias is None else bias, slope)
    return cpu.conv(maps, packed, bias, kernel, STRIDES[kernel], slope)


@_conv.register_fake
def _(maps: Sequence[Tensor], packed: Tensor, bias: Tensor | None, outputs: int, kernel: int, slope: float) -> Tensor:
    b, _, h, w = maps[0].shape
    i, j = ((length + 2 - kernel) // STRIDES[kernel] + 1 for length in (h, w))
    return packed.new_empty(b, outputs, i, j).to(memory_format=torch.channels_last)


@torch.library.custom_op("spt_kernels::packed_conv_transposed", mutates_args=(), device_types="cpu")
def _doubled(maps: Sequence[Tensor], packed: Tensor, slope: float) -> Tensor:
    return (cpu.conv_phases if len(packed) == 4 else cpu.conv_tiles)(maps, packed, slope)


@_doubled.register_fake
def _(maps: Sequence[Tensor], packed: Tensor, slope: float) -> Tensor:
    b, _, h, w = maps[0].shape
    outputs = packed.shape[1] * cpu.LANES // (1 if len(packed) == 4 else 4)
    return packed.new_empty(b, outputs, 2 * h, 2 * w).to(memory_format=torch.channels_last)
