"""Transposed 4x4 convolution of stride 2, for drawing: four 2x2 convolutions on the same tiles, one for each phase.

Row `2 i + p` of the result reads rows `i - 1 + p` and `i + p` of the input, under the taps `3 - p` and `1 - p` of the
kernel. All four phases are thus one convolution to four times the channels, padded by one, whose results interleave.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.paths import is_on_processor
from spt_kernels.tile_conv import cpu, reference

KERNEL, PADDING = 2, 1  # of a phase
LEAST_CHANNELS, LEAST_PIXELS = 64, 32 * 32  # of all maps together; below, torch's own is as fast
MOST_PREPARED = 40_000_000  # numbers (160 MB); weights of more channels sit under the smallest maps


def tile_conv_transposed(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "c o 4 4"], prepared: Float[Tensor, "36 m c"] | None
) -> Float[Tensor, "b o i j"]:
    """Convolve transposed with stride 2 and padding 1, without gradients; on processors in 36 of 100 multiplications.

    Where nothing is prepared, for few pixels and elsewhere, torch's own computes it.

    Args:
        x: maps.
        weight: as `torch.nn.functional.conv_transpose2d` has it.
        prepared: `prepare_transposed(weight)`, for a weight that stays as it is.

    Returns:
        Maps of `2 h` rows and `2 w` columns; differences are those of `tile_conv`.
    """
    large = x.shape[0] * x.shape[2] * x.shape[3] >= LEAST_PIXELS
    if prepared is None or not (large and is_on_processor(x) and x.dtype == torch.float32):
        return reference.tile_conv_transposed(x, weight)
    return _conv_prepared(x, prepared)


def prepare_transposed(weight: Float[Tensor, "c o 4 4"]) -> Float[Tensor, "36 m c"] | None:
    """The weight as tiles multiply it, `m = 4 o`: nine times its size; nothing where it would be of no use."""
    fits = is_on_processor(weight) and weight.dtype == torch.float32
    few = min(weight.shape[0], 4 * weight.shape[1]) < LEAST_CHANNELS
    if not fits or few or 9 * weight.numel() > MOST_PREPARED:
        return None
    return cpu.spread(_phases(weight.detach()))


def _phases(weight: Tensor) -> Tensor:
    """The 2x2 kernels of all phases: [4 o, c, 2, 2], phases by row, then by column."""
    channels, outputs = weight.shape[:2]
    taps = weight.flip(2, 3).view(channels, outputs, 2, 2, 2, 2)  # rows as (tap, phase), columns as well
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, channels, KERNEL, KERNEL)


@torch.library.custom_op("spt_kernels::tile_conv_prepared", mutates_args=(), device_types="cpu")
def _conv_prepared(x: Tensor, prepared: Tensor) -> Tensor:
    (b, _, h, w), result = x.shape, _empty(x, prepared)
    phases = cpu.forward_spread(x.contiguous(), prepared, KERNEL, PADDING, False).view(b, 2, 2, -1, h + 1, w + 1)
    for p in (0, 1):
        for q in (0, 1):
            result[:, :, p::2, q::2] = phases[:, p, q, :, p : p + h, q : q + w]
    return result


@_conv_prepared.register_fake
def _empty(x: Tensor, prepared: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], prepared.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3])
