"""The least that `pose_heatmaps` must move and compute."""

from torch import Tensor

from spt_kernels.cost import Cost


def forward_cost(out: Tensor) -> Cost:
    """Every map written once; a square, a sum and an exponential per pixel (6 flops). Joints are negligible."""
    return Cost(bytes=out.numel() * out.element_size(), flops=6 * out.numel())
