"""Stride-1 convolution of 3x3 and 4x4 kernels with fewer multiplications, on processors."""

from spt_kernels.tile_conv.op import tile_conv

__all__ = ["tile_conv"]
