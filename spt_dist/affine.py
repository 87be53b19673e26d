"""Fitting affine maps to point pairs, many at once: homogeneous total least squares, as the published warps are fitted.

Ordinary least squares differs from it by up to 30 px on real poses, so the method is part of the definition.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLAT = 1e-8  # below this, relative to the largest, a singular value counts as zero: the points lie on a line
TINY = 1e-30
NEWTON_STEPS = 16
DIRECT_FLAT = 1e-12  # the same for its square, where squares are what is computed: they round at 1e-16


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


def fit_affine_directly(
    target: Float[Tensor, "n m 2"], source: Float[Tensor, "n m 2"], used: Bool[Tensor, "n m"]
) -> tuple[Float[Tensor, "n 2 3"], Bool[Tensor, " n"]]:
    """`fit_affine` without a singular value decomposition, for formats that know none.

    With both sets centred, the normal matrix of the rows is `[[C, 0, -p], [0, C, -q], [-p', -q', s]]` beside what no
    offset couples to: C is the targets' 2x2 covariance, p and q its products with the sources. Its smallest eigenvalue
    is that of a symmetric 3x3 matrix, a cubic's root, and its vector is `(C - root)^-1 (p, q)`.
    """
    target_centre, target_scale, target_spread = _frame(target, used)
    source_centre, source_scale, source_spread = _frame(source, used)
    weight = used.to(target.dtype)[..., None]
    xy = (target - target_centre) * target_scale * weight
    uv = (source - source_centre) * source_scale * weight
    covariance, products = xy.mT @ xy, xy.mT @ uv  # [n 2 2] each, the latter's columns p and q
    xx, cross, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    first, mixed, _, second = (products @ products.mT).flatten(-2).unbind(-1)
    rest = uv.square().sum(dim=(-2, -1))
    half, spread = (xx + yy) / 2, ((xx - yy) / 2).square() + cross.square()
    root = _smallest_root(
        xx + yy + rest,
        xx * yy - cross.square() + rest * (xx + yy) - first - second,
        rest * (xx * yy - cross.square()) - yy * first - xx * second + 2 * cross * mixed,
    )
    exists = target_spread & source_spread & (half - spread.sqrt() > DIRECT_FLAT * half)
    a, d = xx - root, yy - root
    determinant = torch.where(exists, a * d - cross.square(), 1.0)[..., None, None]
    inverse = torch.stack([d, -cross, -cross, a], dim=-1).unflatten(-1, (2, 2)) / determinant
    linear = (inverse @ products).mT * target_scale / source_scale
    return torch.cat([linear, source_centre.mT - linear @ target_centre.mT], dim=-1), exists


def bound_stretch_directly(
    affine: Float[Tensor, "n 2 3"], centre: Float[Tensor, "n 2"], max_stretch: float
) -> Float[Tensor, "n 2 3"]:
    """`bound_stretch` without a singular value decomposition.

    A 2x2 matrix is a scaled turn plus a scaled mirror, of lengths t and m; its scales are `t + m` and `|t - m|`.
    """
    (a, b), (c, d) = (row.unbind(-1) for row in affine[..., :2].unbind(-2))
    turn, mirror = torch.stack([a + d, c - b], dim=-1) / 2, torch.stack([a - d, c + b], dim=-1) / 2
    t, m = (part.square().sum(dim=-1).sqrt() for part in (turn, mirror))
    larger = (t + m).clamp(1 / max_stretch, max_stretch)
    smaller = (t - m).abs().clamp(1 / max_stretch, max_stretch) * torch.where(t < m, -1.0, 1.0)
    turn = turn * ((larger + smaller) / 2 / t.clamp(min=TINY))[..., None]
    mirror = mirror * ((larger - smaller) / 2 / m.clamp(min=TINY))[..., None]
    (x, y), (u, v) = turn.unbind(-1), mirror.unbind(-1)
    linear = torch.stack([x + u, v - y, v + y, x - u], dim=-1).unflatten(-1, (2, 2))
    offset = affine[..., 2:] + (affine[..., :2] - linear) @ centre[..., None]
    return torch.cat([linear, offset], dim=-1)


def _smallest_root(trace: Tensor, middle: Tensor, determinant: Tensor) -> Tensor:
    """Of `x^3 - trace x^2 + middle x - determinant`, whose roots are real and not negative: Newton's steps from 0.

    From the left of all roots they never pass the first.
    """
    root = torch.zeros_like(trace)
    for _ in range(NEWTON_STEPS):
        value = ((root - trace) * root + middle) * root - determinant
        slope = (3 * root - 2 * trace) * root + middle
        root = root - torch.where(slope > TINY, value / slope.clamp(min=TINY), 0.0)
    return root
