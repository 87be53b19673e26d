"""What `norm_act` means: the shortest correct form, which every faster spelling must equal."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def norm_act(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, "1"] | None,
    bias: Float[Tensor, "1"] | None,
    eps: float,
    slope: float,
) -> Float[Tensor, "b c h w"]:
    """Normalise every group of channels to mean 0 and variance 1, scale, shift; then a leaky ReLU."""
    rows = x.unflatten(1, (groups, -1)).flatten(2)  # [b g n]
    centred = rows - rows.mean(dim=2, keepdim=True)
    rows = centred * torch.rsqrt(centred.square().mean(dim=2, keepdim=True) + eps)
    rows = rows * (1 if weight is None else weight) + (0 if bias is None else bias)
    return F.leaky_relu(rows, slope).view_as(x)
