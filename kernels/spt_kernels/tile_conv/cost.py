"""The least that `tile_conv` must move, and what a direct convolution computes."""

from torch import Tensor

from spt_kernels.cost import Cost


def forward_cost(x: Tensor, weight: Tensor, result: Tensor) -> Cost:
    """Everything moved once; two flops for each weight and pixel of the result. The tiles need a quarter of them."""
    moved = (x.numel() + weight.numel() + result.numel()) * x.element_size()
    return Cost(bytes=moved, flops=2 * weight[0].numel() * result.numel())
