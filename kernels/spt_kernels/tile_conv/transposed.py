"""Transposed 4x4 convolution of stride 2: four 2x2 convolutions on the same tiles, one for each phase of the result.

Row `2 i + p` of the result reads rows `i - 1 + p` and `i + p` of the input, under the taps `3 - p` and `1 - p` of the
kernel. All four phases are thus one convolution to four times the channels, padded by one, whose results interleave.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.tile_conv import cpu, op, reference

KERNEL, PADDING = 2, 1  # of a phase
# Channels, and pixels of all maps together, below which torch's own is as fast; without `prepared`, where the weight
# must be spread each time, and its gradient gathered.
LEAST_PREPARED, LEAST = (64, 32 * 32), (256, 64 * 128)
MOST_PREPARED = 40_000_000  # numbers (160 MB); weights of more channels sit under the smallest maps


def tile_conv_transposed(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "c o 4 4"], prepared: Float[Tensor, "36 m c"] | None = None
) -> Float[Tensor, "b o i j"]:
    """Convolve transposed with stride 2 and padding 1; on processors in 36 of 100 multiplications.

    Elsewhere, and for few channels, few pixels and other types, it is torch's own. Gradients: of `x` and `weight`.

    Args:
        x: maps.
        weight: as `torch.nn.functional.conv_transpose2d` has it.
        prepared: `prepare_transposed(weight)`, for a weight that stays as it is; no gradient reaches it.

    Returns:
        Maps of `2 h` rows and `2 w` columns; differences are those of `tile_conv`.
    """
    channels, pixels = LEAST if prepared is None else LEAST_PREPARED
    large = x.shape[0] * x.shape[2] * x.shape[3] >= pixels
    if not (large and _fits(weight, channels) and x.device.type == "cpu" and x.dtype == torch.float32):
        return reference.tile_conv_transposed(x, weight)
    if prepared is None:
        return _interleave(op._conv(x, _phases(weight), PADDING, False))
    return _interleave(_conv_prepared(x, prepared))


def prepare_transposed(weight: Float[Tensor, "c o 4 4"]) -> Float[Tensor, "36 m c"] | None:
    """The weight as tiles multiply it, `m = 4 o`: nine times its size; nothing where it would be of no use."""
    if not _fits(weight, LEAST_PREPARED[0]) or 9 * weight.numel() > MOST_PREPARED:
        return None
    return cpu.spread(_phases(weight.detach()))


def _fits(weight: Tensor, least: int) -> bool:
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32
    return fits and min(weight.shape[0], 4 * weight.shape[1]) >= least


def _phases(weight: Tensor) -> Tensor:
    """The 2x2 kernels of all phases: [4 o, c, 2, 2], phases by row, then by column."""
    channels, outputs = weight.shape[:2]
    taps = weight.flip(2, 3).view(channels, outputs, 2, 2, 2, 2)  # rows as (tap, phase), columns as well
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, channels, KERNEL, KERNEL)


@torch.library.custom_op("spt_kernels::interleave", mutates_args=())
def _interleave(phases: Tensor) -> Tensor:
    """Results of the phases [b, 4 o, h + 1, w + 1] as one map [b, o, 2 h, 2 w]."""
    result = _whole(phases)
    for phase, of_result in _pairs(phases, result):
        of_result.copy_(phase)
    return result


@torch.library.custom_op("spt_kernels::interleave_backward", mutates_args=())
def _interleave_backward(grad: Tensor) -> Tensor:
    """The gradient in one pass; torch's own, of the four assignments, would copy the whole map four times."""
    phases = _apart(grad).zero_()
    for phase, of_grad in _pairs(phases, grad):
        phase.copy_(of_grad)
    return phases


def _whole(phases: Tensor) -> Tensor:
    b, outputs, h, w = phases.shape
    return phases.new_empty(b, outputs // 4, 2 * h - 2, 2 * w - 2)


def _apart(whole: Tensor) -> Tensor:
    b, outputs, h, w = whole.shape
    return whole.new_empty(b, 4 * outputs, h // 2 + 1, w // 2 + 1)


def _pairs(phases: Tensor, result: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of every phase and of its rows and columns in the result."""
    h, w = phases.shape[2] - 1, phases.shape[3] - 1
    by_phase = phases.unflatten(1, (2, 2, -1))
    for p in (0, 1):
        for q in (0, 1):
            yield by_phase[:, p, q, :, p : p + h, q : q + w], result[:, :, p::2, q::2]


_interleave.register_fake(_whole)
_interleave_backward.register_fake(_apart)
_interleave.register_autograd(lambda ctx, grad: _interleave_backward(grad))


@torch.library.custom_op("spt_kernels::tile_conv_prepared", mutates_args=(), device_types="cpu")
def _conv_prepared(x: Tensor, prepared: Tensor) -> Tensor:
    return cpu.forward_spread(x.contiguous(), prepared, KERNEL, PADDING, False)


@_conv_prepared.register_fake
def _(x: Tensor, prepared: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], prepared.shape[1], x.shape[2] + 1, x.shape[3] + 1)
