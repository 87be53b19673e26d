"""The least that `packed_conv` must move, and what a direct convolution computes."""

from torch import Tensor

from spt_kernels.cost import Cost


def halving_cost(x: Tensor, weight: Tensor) -> Cost:
    """Everything moved once; two flops for each weight and pixel of the result, of stride 2."""
    result = x[:, 0].numel() // 4 * weight.shape[0]
    return Cost(bytes=(x.numel() + weight.numel() + result) * x.element_size(), flops=2 * weight[0].numel() * result)


def transposed_cost(x: Tensor, weight: Tensor) -> Cost:
    """The same for the convolution that doubles the size: every weight meets every pixel of x."""
    moved = (x.numel() + weight.numel() + 4 * x[:, 0].numel() * weight.shape[1]) * x.element_size()
    return Cost(bytes=moved, flops=2 * weight[0].numel() * x.numel())
