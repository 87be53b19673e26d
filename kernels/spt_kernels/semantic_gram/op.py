"""The door into `semantic_gram`: picks the device's form, and tells torch its shapes and its gradient."""

from collections.abc import Sequence
from types import ModuleType

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spt_kernels.semantic_gram import cpu, dense

FACTORS = (1, 2, 4)  # label pixels along a feature pixel


def semantic_gram(
    features: Float[Tensor, "b c h w"], labels: UInt8[Tensor, "b H W"], regions: Sequence[int]
) -> Float[Tensor, "b r c c"]:
    """Gram matrix of the features inside each region of a label map: `(m_r F)(m_r F)^T / (h w)`.

    A region's mask `m_r` at a feature pixel is the part of the image pixels under it that carry the region's label.
    Gradients: of `features`. Features at pixels that lie in no region are never read.

    Args:
        features: any float type, any strides.
        labels: the label map at image size, which is 1, 2 or 4 times the features'.
        regions: the label of each of the `r` regions.

    Returns:
        float32, or float64 when the features are float64.

    Raises:
        ValueError: the label map does not fit the features, or a region is no label.
    """
    check_labels("labels", labels, "features", features, regions)
    return _gram(features, labels.contiguous(), list(regions))


def semantic_gram_soft(features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]) -> Float[Tensor, "b r c c"]:
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
    return _gram(features, masks.detach().to(precision(features)).contiguous(), list(range(masks.shape[1])))


def check_labels(name: str, labels: Tensor, features_name: str, features: Tensor, regions: Sequence[int]) -> None:
    """Raise a ValueError unless the label map fits the features and every region is a label."""
    (b, _, h, w), (height, width) = features.shape, labels.shape[1:]
    if labels.shape[0] != b or not any((height, width) == (factor * h, factor * w) for factor in FACTORS):
        raise ValueError(
            f"`{name}` are {tuple(labels.shape)} but `{features_name}` are {tuple(features.shape)}; "
            "both need the same batch, and the label map 1, 2 or 4 times the features' height and width"
        )
    if labels.dtype != torch.uint8:
        raise ValueError(f"`{name}` are {labels.dtype}; give torch.uint8")
    if not regions or not all(0 <= region <= 255 for region in regions):
        raise ValueError(f"`regions` are {list(regions)}; name at least one label, each from 0 to 255")


def precision(features: Tensor) -> torch.dtype:
    """What Gram matrices are summed in."""
    return torch.promote_types(features.dtype, torch.float32)


def form(features: Tensor) -> ModuleType:
    """The spelling for the features' device and type; each has `find`, `forward`, `backward` and `compare`."""
    if features.dtype == torch.float64:
        return dense
    if features.is_cuda:
        from spt_kernels.semantic_gram import _triton

        return _triton
    return cpu


@torch.library.custom_op("spt_kernels::semantic_gram", mutates_args=())
def _gram(features: Tensor, source: Tensor, regions: Sequence[int]) -> Tensor:
    """`source` is a label map [b H W] uint8, or masks [b r h w] whose regions are 0, 1, 2 and so on."""
    b, c, h, w = features.shape
    grams = features.new_empty(b, len(regions), c, c, dtype=precision(features))
    spelling = form(features)
    spelling.forward(features, source, regions, spelling.find(source, regions, (h, w)), grams)
    return grams


@_gram.register_fake
def _(features: Tensor, source: Tensor, regions: Sequence[int]) -> Tensor:
    b, c = features.shape[:2]
    return features.new_empty(b, len(regions), c, c, dtype=precision(features))


@torch.library.custom_op("spt_kernels::semantic_gram_backward", mutates_args=())
def gram_backward(pulls: Tensor, features: Tensor, source: Tensor, regions: Sequence[int]) -> Tensor:
    """Gradient of the features from `D + D^T`, where `D` [b r c c] are the gradients of the Gram matrices."""
    result = torch.empty_like(features)
    form(features).backward(pulls.contiguous(), features, source, regions, result)
    return result


@gram_backward.register_fake
def _(pulls: Tensor, features: Tensor, source: Tensor, regions: Sequence[int]) -> Tensor:
    return torch.empty_like(features)


def _setup(ctx, inputs, output) -> None:
    features, source, ctx.regions = inputs
    ctx.save_for_backward(features, source)


def _backward(ctx, grad):
    features, source = ctx.saved_tensors
    return gram_backward(grad + grad.mT, features, source, ctx.regions), None, None


_gram.register_autograd(_backward, setup_context=_setup)
