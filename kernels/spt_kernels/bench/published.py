"""Each op as the published implementation computes it: what `ratio` compares ours with.

Spelled plainly and not slowed down: maps repeated to full size, ten samplers, dense masks, a Gram matrix over all
pixels for each region, and pictures of poses drawn on the processor, sample by sample.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spt_kernels.semantic_gram.reference import region_masks


def semantic_style_loss(
    fake_b: Tensor, real_a: Tensor, fake_a: Tensor, labels_a: Tensor, labels_b: Tensor, regions: Sequence[int]
) -> Tensor:
    """Two terms, each of two Gram matrices per region: dense features times a mask repeated over channels."""
    c, size = fake_b.shape[1], (fake_b.shape[2], fake_b.shape[3])
    masks_a, masks_b = (region_masks(labels, regions, size, fake_b.dtype) for labels in (labels_a, labels_b))
    loss = fake_b.new_zeros(())
    for first, first_masks, second, second_masks in (
        (fake_b, masks_b, real_a, masks_a),
        (fake_a, masks_a, fake_b, masks_b),
    ):
        for region in range(len(regions)):
            seen = (first_masks[:, region].amax((1, 2)) * second_masks[:, region].amax((1, 2)))[:, None, None]
            grams = [
                _gram(features * masks[:, region : region + 1].repeat(1, c, 1, 1))
                for features, masks in ((first, first_masks), (second, second_masks))
            ]
            loss = loss + F.mse_loss(seen * grams[0], seen * grams[1]) / len(regions)
    return loss


def part_warp(features: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    """Features copied for every part, ten samplers, dense masks [b p h w], the maximum."""
    (b, c, h, w), p = features.shape, masks.shape[1]
    copies = features[:, None].repeat(1, p, 1, 1, 1).flatten(0, 1)
    grid = F.affine_grid(ndc.flatten(0, 1), [b * p, c, h, w], align_corners=True)
    warped = F.grid_sample(copies, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return (warped.unflatten(0, (b, p)) * masks[:, :, None].repeat(1, 1, c, 1, 1)).max(dim=1).values


def pose_heatmaps(joints: Tensor, visible: Tensor, size: tuple[int, int], sigma_px: float) -> Tensor:
    """A Gaussian over the whole picture for each joint, in numpy, sample by sample."""
    maps = np.zeros((*visible.shape, *size), np.float32)
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    for sample, of_sample in enumerate(joints.numpy()):
        for joint, (x_px, y_px) in enumerate(of_sample):
            if visible[sample, joint]:
                maps[sample, joint] = np.exp(-((y - y_px) ** 2 + (x - x_px) ** 2) / (2 * sigma_px**2))
    return torch.from_numpy(maps)


def part_masks(quads: Tensor, size: tuple[int, int]) -> Tensor:
    """Every part's polygon over the whole picture, sample by sample.

    Raises:
        ImportError: scikit-image, which the published code calls, is missing.
    """
    from skimage.measure import grid_points_in_poly

    masks = np.zeros((*quads.shape[:2], *size), bool)
    for sample, of_sample in enumerate(quads.numpy()):
        for part, corners in enumerate(of_sample):
            if not np.isnan(corners).any():
                masks[sample, part] = grid_points_in_poly(size, corners[:, ::-1])
    return torch.from_numpy(masks)


def norm_act(x: Tensor, groups: int, slope: float) -> Tensor:
    """The norm, then the activation."""
    return F.leaky_relu(F.group_norm(x, groups), slope)


def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / flat.shape[2]
