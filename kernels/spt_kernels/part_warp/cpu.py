"""`part_warp` for processors, compiled: only the target pixels inside a part's mask are sampled, each once."""

import torch
from torch import Tensor

from spt_kernels import native
from spt_kernels.part_warp.reference import axes


def forward(features: Tensor, ndc: Tensor, quads: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Values and winning parts, both [b c h w], of float32 features, maps [b p 2 3] and float64 corners [b p 4 2]."""
    features = features.contiguous()
    values, winners = torch.empty_like(features), torch.empty_like(features, dtype=torch.uint8)
    _call("spt_part_warp_forward", (features,), ndc, quads, image_size, (values, winners))
    return values, winners


def forward_last(features: Tensor, ndc: Tensor, quads: Tensor, image_size: tuple[int, int]) -> Tensor:
    """The values alone, of channels-last features, as channels-last."""
    values = torch.empty_like(features, memory_format=torch.channels_last)
    _call("spt_part_warp_last", (features,), ndc, quads, image_size, (values,))
    return values


def backward(grad: Tensor, winners: Tensor, ndc: Tensor, quads: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Gradient of the features, [b c h w], from that of the values and the winning parts."""
    grad = grad.contiguous()
    result = torch.empty_like(grad)
    _call("spt_part_warp_backward", (grad, winners.contiguous()), ndc, quads, image_size, (result,))
    return result


def _call(
    function: str,
    inputs: tuple[Tensor, ...],
    ndc: Tensor,
    quads: Tensor,
    image_size: tuple[int, int],
    outputs: tuple[Tensor, ...],
) -> None:
    (b, c, h, w), p = inputs[0].shape, ndc.shape[1]
    y, x = axes((h, w), like=ndc)
    geometry = (ndc.contiguous(), quads.contiguous(), x, y)
    native.call(function, *inputs, *geometry, *outputs, b, c, p, h, w, *image_size)
