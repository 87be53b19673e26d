"""Part-wise affine warp of features, masked, maximum over parts."""

from spt_kernels.part_warp.op import part_warp

__all__ = ["part_warp"]
