"""Convolutions of networks that only draw, on processors: packed weights, channels-last maps."""

from spt_kernels.packed_conv.op import pack, pack_transposed, packed_conv, packed_conv_transposed

__all__ = ["pack", "pack_transposed", "packed_conv", "packed_conv_transposed"]
