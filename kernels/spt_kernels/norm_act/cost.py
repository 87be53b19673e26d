"""The least that `norm_act` must move and compute."""

from torch import Tensor

from spt_kernels.cost import Cost


def forward_cost(x: Tensor) -> Cost:
    """x read for its moments and again to be normalised (it does not fit on chip), the result written once."""
    return Cost(bytes=3 * x.numel() * x.element_size(), flops=8 * x.numel())


def backward_cost(x: Tensor) -> Cost:
    """x and the gradient read for their sums and again for the result, which is written once."""
    return Cost(bytes=5 * x.numel() * x.element_size(), flops=14 * x.numel())
