"""A Gaussian round every joint, rasterised on the device."""

from spt_kernels.pose_heatmaps.op import pose_heatmaps

__all__ = ["pose_heatmaps"]
