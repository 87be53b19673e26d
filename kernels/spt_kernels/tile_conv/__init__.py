"""Convolutions with fewer multiplications, on processors: stride 1, 3x3 and 4x4, and the 4x4 that doubles the size."""

from spt_kernels.tile_conv.op import tile_conv
from spt_kernels.tile_conv.transposed import prepare_transposed, tile_conv_transposed

__all__ = ["prepare_transposed", "tile_conv", "tile_conv_transposed"]
