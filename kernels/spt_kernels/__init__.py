"""Tensor operations of part-wise person generation, each with its definition, a fast CPU form and a Triton kernel."""

from spt_kernels.memory import keep_memory
from spt_kernels.norm_act import norm_act
from spt_kernels.packed_conv import pack, pack_transposed, packed_conv, packed_conv_transposed
from spt_kernels.part_masks import part_masks
from spt_kernels.part_warp import part_warp
from spt_kernels.pose_heatmaps import pose_heatmaps
from spt_kernels.semantic_gram import semantic_gram, semantic_gram_soft, semantic_style_loss
from spt_kernels.tile_conv import tile_conv

__all__ = [
    "keep_memory",
    "norm_act",
    "pack",
    "pack_transposed",
    "packed_conv",
    "packed_conv_transposed",
    "part_masks",
    "part_warp",
    "pose_heatmaps",
    "semantic_gram",
    "semantic_gram_soft",
    "semantic_style_loss",
    "tile_conv",
]
