"""What the semantic Gram matrices and the style loss mean: the shortest correct form, which others must equal.

The semantic-aware style loss (SPT, section 3.3) compares Gram matrices of features inside each body region:
`G_r = (m_r F)(m_r F)^T / (h w)`, so a soft mask enters squared.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, mse_loss


def region_masks(
    labels: UInt8[Tensor, "b H W"], regions: Sequence[int], size: tuple[int, int], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b r h w"]:
    """The part of every feature pixel that each region covers: the mean over the image pixels under it."""
    wanted = torch.tensor(regions, device=labels.device)[:, None, None]
    return avg_pool2d((labels[:, None] == wanted).to(dtype), labels.shape[1] // size[0])


def semantic_gram(
    features: Float[Tensor, "b c h w"], labels: UInt8[Tensor, "b H W"], regions: Sequence[int]
) -> Float[Tensor, "b r c c"]:
    """Gram matrix of the features in every region of a label map."""
    h, w = features.shape[2:]
    return semantic_gram_soft(features, region_masks(labels, regions, (h, w), features.dtype))


def semantic_gram_soft(features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]) -> Float[Tensor, "b r c c"]:
    """Gram matrix of the masked features of every region."""
    pixels = masks.shape[-2] * masks.shape[-1]
    inside = (masks.detach()[:, :, None] * features[:, None]).flatten(-2)  # [b r c hw]
    return inside @ inside.mT / pixels


def semantic_gram_backward(
    pulls: Float[Tensor, "b r c c"], features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]
) -> Float[Tensor, "b c h w"]:
    """Gradient of the features: `sum_r S_r (m_r^2 F) / (h w)` for pulls `S_r = D_r + D_r^T`, `D_r` the upstream's."""
    pixels = masks.shape[-2] * masks.shape[-1]
    weighted = (masks.square()[:, :, None] * features[:, None]).flatten(-2)  # [b r c hw]
    return (pulls @ weighted).sum(dim=1).unflatten(-1, features.shape[-2:]) / pixels


def semantic_style_loss(
    fake_b: Float[Tensor, "b c h w"],
    real_a: Float[Tensor, "b c h w"],
    fake_a: Float[Tensor, "b c h w"],
    masks_a: Float[Tensor, "b r h w"],
    masks_b: Float[Tensor, "b r h w"],
    by_area: bool = False,
) -> Float[Tensor, ""]:
    """`mean((v G(B^) - v G(A))^2) + mean((v G(A^) - v G(B^))^2)` with visibility `v = max(mask_a) max(mask_b)`."""
    pixels = masks_a.shape[-2] * masks_a.shape[-1]
    weight_a = weight_b = masks_a.amax((2, 3)) * masks_b.amax((2, 3))  # [b r]
    if by_area:
        weight_a = weight_a * pixels / masks_a.square().sum((2, 3)).clamp(min=1)
        weight_b = weight_b * pixels / masks_b.square().sum((2, 3)).clamp(min=1)
    style_b = weight_b[..., None, None] * semantic_gram_soft(fake_b, masks_b)
    style_real = weight_a[..., None, None] * semantic_gram_soft(real_a, masks_a)
    style_a = weight_a[..., None, None] * semantic_gram_soft(fake_a, masks_a)
    return mse_loss(style_b, style_real) + mse_loss(style_a, style_b)
