"""The door into `part_warp`: picks the device's form, and tells torch its shapes and its gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.part_warp import cpu, reference
from spt_kernels.paths import is_on_processor


def part_warp(
    features: Float[Tensor, "b c h w"],
    transforms: Float[Tensor, "b p 2 3"],
    quads: Float[Tensor, "b p 4 2"],
    image_size: tuple[int, int],
) -> Float[Tensor, "b c h w"]:
    """Warp features by one affine map per rigid part, inside the part's quadrilateral; the maximum over parts.

    Gradients: of `features` only; `transforms` and `quads` receive none. Where parts tie, the first one gets it.

    Args:
        features: what is sampled, bilinearly, with zeros outside; any float type, NCHW or channels-last.
        transforms: rows `[a, b, c], [d, e, f]` that map a target pixel (x, y) to its source (x, y), in px of the image.
        quads: corners (x, y) of each part in the target, in px of the image; see `part_masks`. A part's mask at the
            size of the features is its mask at the image's, resized bilinearly.
        image_size: (height, width) in px to which transforms and corners refer.

    Returns:
        The warped features, in the features' type.

    Raises:
        ValueError: batches or numbers of parts differ, or there is no part, or there are more than 255.
    """
    b, p = transforms.shape[:2]
    if features.shape[0] != b or quads.shape[:2] != (b, p) or not 0 < p <= 255:
        raise ValueError(
            f"`features` are {tuple(features.shape)}, `transforms` {tuple(transforms.shape)}, `quads` "
            f"{tuple(quads.shape)}; they need one batch and as many quadrilaterals as transforms, 1 to 255"
        )
    if features.dtype == torch.float64:  # the faster forms compute in float32
        return reference.part_warp(features, transforms, quads, image_size)
    ndc = reference.ndc_transforms(transforms.detach().float(), (features.shape[2], features.shape[3]), image_size)
    drawn = is_on_processor(features) and features.dtype == torch.float32 and not torch.is_grad_enabled()
    if drawn and features.is_contiguous(memory_format=torch.channels_last):
        return _warp_last(features, ndc, quads.detach().double(), *image_size)
    return _warp(features, ndc, quads.detach().double(), *image_size)[0]


@torch.library.custom_op("spt_kernels::part_warp", mutates_args=(), device_types="cpu")
def _warp(features: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The warped features, and the winning part of each of their elements, uint8."""
    values, winners = cpu.forward(features.float(), ndc, quads, (height, width))
    return values.to(features.dtype), winners


@_warp.register_kernel("cuda")
def _(features: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    from spt_kernels.part_warp import _triton

    return _triton.forward(features, ndc, quads, (height, width))


@_warp.register_fake
def _(features: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    values = torch.empty_like(features, memory_format=_layout(features))
    return values, torch.empty_like(values, dtype=torch.uint8)


@torch.library.custom_op("spt_kernels::part_warp_last", mutates_args=(), device_types="cpu")
def _warp_last(features: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> Tensor:
    """Channels-last features, warped without gradients: nobody asks which part has won."""
    return cpu.forward_last(features, ndc, quads, (height, width))


@_warp_last.register_fake
def _(features: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> Tensor:
    return torch.empty_like(features, memory_format=torch.channels_last)


@torch.library.custom_op("spt_kernels::part_warp_backward", mutates_args=(), device_types="cpu")
def _warp_backward(grad: Tensor, winners: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> Tensor:
    return cpu.backward(grad.float(), winners, ndc, quads, (height, width)).to(grad.dtype)


@_warp_backward.register_kernel("cuda")
def _(grad: Tensor, winners: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> Tensor:
    from spt_kernels.part_warp import _triton

    return _triton.backward(grad, winners, ndc, quads, (height, width))


@_warp_backward.register_fake
def _(grad: Tensor, winners: Tensor, ndc: Tensor, quads: Tensor, height: int, width: int) -> Tensor:
    return torch.empty_like(grad, memory_format=_layout(winners))


def _layout(features: Tensor) -> torch.memory_format:
    """The kernels keep channels-last maps as they are; the compiled form with gradients gives NCHW."""
    last = features.is_cuda and features.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _setup(ctx, inputs, output) -> None:
    _, ndc, quads, ctx.height, ctx.width = inputs
    _, winners = output
    ctx.mark_non_differentiable(winners)
    ctx.save_for_backward(winners, ndc, quads)


def _backward(ctx, grad, _grad_winners):
    return _warp_backward(grad, *ctx.saved_tensors, ctx.height, ctx.width), None, None, None, None


_warp.register_autograd(_backward, setup_context=_setup)
