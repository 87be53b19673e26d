"""The least that `part_masks` must move and compute."""

from torch import Tensor

from spt_kernels.cost import Cost


def forward_cost(masks: Tensor) -> Cost:
    """Every mask written once, a byte a pixel; four edges of ten flops for each pixel inside."""
    return Cost(bytes=masks.numel(), flops=40 * int(masks.sum()))
