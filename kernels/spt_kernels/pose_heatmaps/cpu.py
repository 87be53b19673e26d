"""`pose_heatmaps` for processors: a Gaussian of two coordinates is the product of two of one."""

import torch
from torch import Tensor


def forward(joints: Tensor, visible: Tensor, sigma_px: float, out: Tensor) -> None:
    """Write the maps of joints [b k 2] into `out` [b k h w], of any strides and float type."""
    x, y = (torch.arange(length).to(joints) for length in (out.shape[3], out.shape[2]))
    across = torch.exp(-(x - joints[..., 0:1]).square() / (2 * sigma_px**2))  # [b k w]
    down = torch.exp(-(y - joints[..., 1:2]).square() / (2 * sigma_px**2))
    down = torch.where(visible[..., None], down, 0.0)  # a missing joint's place may be NaN
    across = torch.where(visible[..., None], across, 0.0)
    torch.mul(down[..., :, None], across[..., None, :], out=out)
