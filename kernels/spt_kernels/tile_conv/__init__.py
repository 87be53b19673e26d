"""Convolutions with fewer multiplications, on processors: stride 1, 3x3 and 4x4."""

from spt_kernels.tile_conv.op import tile_conv

__all__ = ["tile_conv"]
