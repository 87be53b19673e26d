"""The door into `semantic_gram`: picks the device's form, and tells torch its shapes and its gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.semantic_gram import cpu, reference


def semantic_gram(features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]) -> Float[Tensor, "b r c c"]:
    """Gram matrix of the features inside each soft region: `(m_r F)(m_r F)^T / (h w)`.

    Gradients: of `features` only; `masks` receive none.

    Args:
        features: any float type, any strides.
        masks: weight of every pixel in each of the `r` regions, any real values; it enters squared.

    Returns:
        float32, or float64 when the features are float64.

    Raises:
        ValueError: features and masks differ in batch or size.
    """
    if features.shape[0] != masks.shape[0] or features.shape[-2:] != masks.shape[-2:]:
        raise ValueError(
            f"`features` are {tuple(features.shape)} but `masks` are {tuple(masks.shape)}; "
            "both need the same batch and the same height and width: resize the masks to the features"
        )
    precision = torch.float64 if features.dtype == torch.float64 else torch.float32
    return _gram(features, masks.detach().to(precision))


@torch.library.custom_op("spt_kernels::semantic_gram", mutates_args=(), device_types="cpu")
def _gram(features: Tensor, masks: Tensor) -> Tensor:
    return cpu.forward(features.to(masks.dtype), masks)


@_gram.register_kernel("cuda")
def _(features: Tensor, masks: Tensor) -> Tensor:
    if masks.dtype == torch.float64:  # tests only: the kernels accumulate in float32
        return reference.semantic_gram(features, masks)
    from spt_kernels.semantic_gram import _triton

    return _triton.forward(features, masks)


@_gram.register_fake
def _(features: Tensor, masks: Tensor) -> Tensor:
    b, c = features.shape[:2]
    return masks.new_empty(b, masks.shape[1], c, c)


@torch.library.custom_op("spt_kernels::semantic_gram_backward", mutates_args=(), device_types="cpu")
def _gram_backward(grad: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    return cpu.backward(grad, features.to(masks.dtype), masks).to(features.dtype)


@_gram_backward.register_kernel("cuda")
def _(grad: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    if masks.dtype == torch.float64:
        return reference.semantic_gram_backward(grad, features, masks)
    from spt_kernels.semantic_gram import _triton

    return _triton.backward(grad, features, masks)


@_gram_backward.register_fake
def _(grad: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    return features.new_empty(features.shape)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    return _gram_backward(grad, *ctx.saved_tensors), None


_gram.register_autograd(_backward, setup_context=_setup)
