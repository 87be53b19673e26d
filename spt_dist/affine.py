"""Fitting affine maps to point pairs, many at once: homogeneous total least squares, as the published warps are fitted.

Ordinary least squares differs from it by up to 30 px on real poses, so the method is part of the definition.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLAT = 1e-8  # below this, relative to the largest, a singular value counts as zero: the points lie on a line


def fit_affine(
    target: Float[Tensor, "n m 2"], source: Float[Tensor, "n m 2"], used: Bool[Tensor, "n m"]
) -> tuple[Float[Tensor, "n 2 3"], Bool[Tensor, " n"]]:
    """Affine maps from target to source points, and which of them exist.

    Each point set is centred and scaled to a root-mean-square distance of sqrt(2); rows `[x, y, 1, 0, 0, 0, -u]` and
    `[0, 0, 0, x, y, 1, -v]` are stacked; the right singular vector of the smallest singular value, divided by its last
    entry, is the map, and the scaling is undone. A fit to fewer than three points, or to points on a line, does not
    exist; its numbers are finite and mean nothing.
    """
    target_centre, target_scale, target_spread = _frame(target, used)
    source_centre, source_scale, source_spread = _frame(source, used)
    weight = used.to(target.dtype)[..., None]
    xy = (target - target_centre) * target_scale * weight
    uv = (source - source_centre) * source_scale * weight
    plane = torch.cat([xy, weight], dim=-1)  # [n m 3]
    zero = torch.zeros_like(plane)
    rows = torch.cat(
        [torch.cat([plane, zero, -uv[..., :1]], dim=-1), torch.cat([zero, plane, -uv[..., 1:]], dim=-1)], dim=-2
    )
    _, singular, right = torch.linalg.svd(rows, full_matrices=False)
    vector = right[..., -1, :]
    exists = target_spread & source_spread & (vector[..., -1].abs() > FLAT)
    exists &= singular[..., -2] > FLAT * singular[..., 0]
    normal = (vector[..., :6] / torch.where(exists, vector[..., -1], 1.0)[..., None]).unflatten(-1, (2, 3))
    linear = normal[..., :2] * target_scale / source_scale
    offset = source_centre.mT + normal[..., 2:] / source_scale - linear @ target_centre.mT
    return torch.cat([linear, offset], dim=-1), exists


def bound_stretch(
    affine: Float[Tensor, "n 2 3"], centre: Float[Tensor, "n 2"], max_stretch: float
) -> Float[Tensor, "n 2 3"]:
    """Keep an affine map's scales within `1 / max_stretch .. max_stretch`, moving `centre` where it moved before."""
    left, scales, right = torch.linalg.svd(affine[..., :2])
    linear = left @ (scales.clamp(1 / max_stretch, max_stretch)[..., None] * right)
    offset = affine[..., 2:] + (affine[..., :2] - linear) @ centre[..., None]
    return torch.cat([linear, offset], dim=-1)


def _frame(points: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre [n 1 2] and scale [n 1 1] of each used point set, and whether it has more than one place [n]."""
    weight = used.to(points.dtype)[..., None]
    count = weight.sum(dim=-2, keepdim=True).clamp(min=1)
    centre = (points * weight).sum(dim=-2, keepdim=True) / count
    variance = ((points - centre).square() * weight).sum(dim=(-2, -1), keepdim=True) / count
    spread = variance > FLAT
    return centre, (2 / torch.where(spread, variance, 1.0)).sqrt(), spread[..., 0, 0]
