"""What `semantic_gram` means: the shortest correct form, which every faster spelling must equal.

The semantic-aware style loss (SPT, section 3.3) compares Gram matrices of features inside each body region:
`G_r = (m_r F)(m_r F)^T / (h w)`, so a soft mask enters squared.
"""

from jaxtyping import Float
from torch import Tensor


def semantic_gram(features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]) -> Float[Tensor, "b r c c"]:
    """Gram matrix of the masked features of every region."""
    pixels = masks.shape[-2] * masks.shape[-1]
    inside = (masks.detach()[:, :, None] * features[:, None]).flatten(-2)  # [b r c hw]
    return inside @ inside.mT / pixels


def semantic_gram_backward(
    grad: Float[Tensor, "b r c c"], features: Float[Tensor, "b c h w"], masks: Float[Tensor, "b r h w"]
) -> Float[Tensor, "b c h w"]:
    """Gradient of the features: `sum_r (D_r + D_r^T) (m_r^2 F) / (h w)` for upstream gradients `D_r`."""
    pixels = masks.shape[-2] * masks.shape[-1]
    weighted = (masks.square()[:, :, None] * features[:, None]).flatten(-2)  # [b r c hw]
    return ((grad + grad.mT) @ weighted).sum(dim=1).unflatten(-1, features.shape[-2:]) / pixels
