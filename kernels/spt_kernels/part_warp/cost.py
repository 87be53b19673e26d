"""The least that `part_warp` must move and compute.

Only features that some live part samples count, each read once; the result is written once. What says which part won is
the kernel's own, not the floor's. A sample costs 4 taps of 2 flops, a mask and a comparison.
"""

import torch
from torch import Tensor

from spt_kernels.cost import Cost
from spt_kernels.part_masks.reference import part_masks
from spt_kernels.part_warp.reference import axes, ndc_transforms, positions, resize_masks


def forward_cost(features: Tensor, transforms: Tensor, quads: Tensor, image_size: tuple[int, int]) -> Cost:
    """Sampled features read, values written."""
    read, samples = _sampled(features, transforms, quads, image_size)
    return Cost((read + features.numel()) * features.element_size(), 10 * samples)


def backward_cost(features: Tensor, transforms: Tensor, quads: Tensor, image_size: tuple[int, int]) -> Cost:
    """The values' gradient read, the features' written, all of it."""
    _, samples = _sampled(features, transforms, quads, image_size)
    return Cost(2 * features.numel() * features.element_size(), 10 * samples)


def _sampled(features: Tensor, transforms: Tensor, quads: Tensor, image_size: tuple[int, int]) -> tuple[int, int]:
    """How many elements some live part samples, and how many samples are taken."""
    b, c, h, w = features.shape
    live = resize_masks(part_masks(quads, image_size), (h, w), torch.float32) > 0  # [b p h w]
    y, x = axes((h, w), like=live.float())
    where = positions(ndc_transforms(transforms.float(), (h, w), image_size)[:, :, None, None], x, y[:, None])
    first = ((where + 1) * torch.tensor([(w - 1) / 2, (h - 1) / 2])).floor().clamp(-2, max(h, w)).long()
    touched = torch.zeros(b, h, w, dtype=torch.bool)
    sample = torch.arange(b)[:, None, None, None].expand(live.shape)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = first[..., 0] + dx, first[..., 1] + dy
        inside = live & (column >= 0) & (column < w) & (row >= 0) & (row < h)
        touched[sample[inside], row[inside], column[inside]] = True
    return int(touched.sum()) * c, int(live.sum()) * c
