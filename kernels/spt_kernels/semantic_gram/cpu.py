"""`semantic_gram` for processors: only the pixels inside a region are gathered and multiplied.

Regions are disjoint but for soft borders, and most pixels lie in none, so the products cost a small part of the dense
form's. A pixel list per region and sample, rows of channels, one small matrix product each.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def forward(features: Tensor, masks: Tensor) -> Tensor:
    """[b c h w], [b r h w] -> [b r c c]."""
    b, c, h, w = features.shape
    rows = features.flatten(-2).mT.contiguous()  # [b hw c]
    grams = rows.new_zeros(b, masks.shape[1], c, c)
    for sample, region, pixels, weight in _regions(masks):
        inside = rows[sample].index_select(0, pixels).mul_(weight)
        torch.mm(inside.mT, inside, out=grams[sample, region])
    return grams.div_(h * w)


def backward(grad: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    """Gradient of the features, [b c h w], from that of the Gram matrices, [b r c c]."""
    h, w = features.shape[-2:]
    rows = features.flatten(-2).mT.contiguous()  # [b hw c]
    symmetric = (grad + grad.mT) / (h * w)
    result = torch.zeros_like(rows)
    for sample, region, pixels, weight in _regions(masks):
        inside = rows[sample].index_select(0, pixels).mul_(weight.square())
        result[sample].index_add_(0, pixels, inside @ symmetric[sample, region])
    return result.mT.unflatten(-1, (h, w)).contiguous()


def _regions(masks: Tensor) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """Every region that has pixels: sample, region, its pixel indices [n] and their weights [n, 1]."""
    b, r = masks.shape[:2]
    flat = masks.flatten(-2)
    samples, regions, pixels = flat.nonzero(as_tuple=True)
    counts = torch.bincount(samples * r + regions, minlength=b * r).tolist()
    weights = flat[samples, regions, pixels, None]
    for index, (inside, weight) in enumerate(zip(pixels.split(counts), weights.split(counts), strict=True)):
        if len(inside):
            yield index // r, index % r, inside, weight
