"""Tensor operations of part-wise person generation, each with its definition, a fast CPU form and a Triton kernel."""

from spt_kernels.part_warp import part_warp
from spt_kernels.semantic_gram import semantic_gram

__all__ = ["part_warp", "semantic_gram"]
