"""The pixels that each part's quadrilateral covers."""

from spt_kernels.part_masks.op import part_masks

__all__ = ["part_masks"]
