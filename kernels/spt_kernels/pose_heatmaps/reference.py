"""What `pose_heatmaps` means: the shortest correct form, which every faster spelling must equal."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def pose_heatmaps(
    joints: Float[Tensor, "b k 2"], visible: Bool[Tensor, "b k"], size: tuple[int, int], sigma_px: float
) -> Float[Tensor, "b k h w"]:
    """`exp(-d^2 / (2 sigma^2))` round every visible joint, d in px; zero for the others."""
    y, x = torch.meshgrid(*(torch.arange(length).to(joints) for length in size), indexing="ij")
    x_px, y_px = joints[..., None, None].unbind(2)
    maps = torch.exp(-((x - x_px).square() + (y - y_px).square()) / (2 * sigma_px**2))
    return torch.where(visible[..., None, None], maps, 0.0)
