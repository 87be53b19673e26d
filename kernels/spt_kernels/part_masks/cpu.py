"""`part_masks` for processors, compiled: only the pixels of each quadrilateral's box are asked."""

import torch
from torch import Tensor

from spt_kernels import native


def forward(quads: Tensor, size: tuple[int, int]) -> Tensor:
    """Corners [b p 4 2] float64 -> bool [b p h w]."""
    masks = torch.empty(*quads.shape[:2], *size, dtype=torch.bool)
    native.call("spt_part_masks", quads.contiguous(), masks, quads[..., 0, 0].numel(), *size)
    return masks
