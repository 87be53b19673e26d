"""The door into `part_warp`: picks the device's form, and tells torch its shapes and its gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.part_warp import cpu
from spt_kernels.part_warp.reference import ndc_transforms


def part_warp(
    features: Float[Tensor, "b c h w"],
    transforms: Float[Tensor, "b p 2 3"],
    masks: Float[Tensor, "b p h w"],
    image_size: tuple[int, int],
) -> Float[Tensor, "b c h w"]:
    """Warp features by one affine map per rigid part, inside the part's mask; the maximum over parts.

    Gradients: of `features` only; `transforms` and `masks` receive none. Where parts tie, the first one gets it.

    Args:
        features: what is sampled, bilinearly, with zeros outside.
        transforms: rows `[a, b, c], [d, e, f]` that map a target pixel (x, y) to its source (x, y), in px of the image.
        masks: weight of each target pixel in each part, at the size of the features.
        image_size: (height, width) in px to which the transforms refer.

    Returns:
        The warped features, in the features' type.

    Raises:
        ValueError: batches, numbers of parts or sizes differ, or there is no part.
    """
    b, _, h, w = features.shape
    p = transforms.shape[1]
    if transforms.shape[0] != b or masks.shape != (b, p, h, w) or p == 0:
        raise ValueError(
            f"`features` are {tuple(features.shape)}, `transforms` {tuple(transforms.shape)}, `masks` "
            f"{tuple(masks.shape)}; they need one batch, at least one part, as many masks as transforms, and masks of "
            "the features' height and width"
        )
    if p > 255:
        raise ValueError(f"`transforms` has {p} parts; at most 255 fit the table of winners")
    precision = torch.float64 if features.dtype == torch.float64 else torch.float32
    ndc = ndc_transforms(transforms.detach().to(precision), (h, w), image_size)
    return _warp(features, ndc, masks.detach().to(precision))[0]


@torch.library.custom_op("spt_kernels::part_warp", mutates_args=(), device_types="cpu")
def _warp(features: Tensor, ndc: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The warped features, and the winning part of each of their elements, uint8."""
    values, winners = cpu.forward(features.to(masks.dtype), ndc, masks)
    return values.to(features.dtype), winners


@_warp.register_kernel("cuda")
def _(features: Tensor, ndc: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    if masks.dtype == torch.float64:  # tests only: the kernels compute in float32
        return cpu.forward(features, ndc, masks)
    from spt_kernels.part_warp import _triton

    return _triton.forward(features, ndc, masks)


@_warp.register_fake
def _(features: Tensor, ndc: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    return features.new_empty(features.shape), features.new_empty(features.shape, dtype=torch.uint8)


@torch.library.custom_op("spt_kernels::part_warp_backward", mutates_args=(), device_types="cpu")
def _warp_backward(grad: Tensor, winners: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    return cpu.backward(grad.to(masks.dtype), winners, ndc, masks).to(grad.dtype)


@_warp_backward.register_kernel("cuda")
def _(grad: Tensor, winners: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    if masks.dtype == torch.float64:
        return cpu.backward(grad, winners, ndc, masks)
    from spt_kernels.part_warp import _triton

    return _triton.backward(grad, winners, ndc, masks)


@_warp_backward.register_fake
def _(grad: Tensor, winners: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    return grad.new_empty(grad.shape)


def _setup(ctx, inputs, output) -> None:
    _, ndc, masks = inputs
    _, winners = output
    ctx.mark_non_differentiable(winners)
    ctx.save_for_backward(winners, ndc, masks)


def _backward(ctx, grad, _grad_winners):
    return _warp_backward(grad, *ctx.saved_tensors), None, None


_warp.register_autograd(_backward, setup_context=_setup)
