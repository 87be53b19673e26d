"""`part_warp` for processors: only the target pixels inside a part's mask are sampled.

Most parts cover a few percent of the picture. The live (place, part) pairs are listed once, each with its four source
places and their weights (mask times bilinear weight): a sparse table with 4 taps a row, applied to rows of channels.
A place is a pixel of one sample, `(y w + x) b + sample`. Flags are kept as floats: on processors, arithmetic on them
runs 20 times as fast as choosing by booleans.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spt_kernels.part_warp.reference import axes, positions


class Taps(NamedTuple):
    """The `n` live pairs of a batch."""

    targets: Tensor  # places [n]
    parts: Tensor  # [n]
    sources: Tensor  # places [n 4]
    weights: Tensor  # [n 4]


def forward(features: Tensor, ndc: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Values and winning parts, both [b c h w], of features [b c h w], maps [b p 2 3] and masks [b p h w]."""
    p, weights = masks.shape[1], _rows(masks)
    taps = _taps(ndc, weights, masks.shape[-2:])
    sampled = F.embedding_bag(taps.sources, _rows(features), per_sample_weights=taps.weights, mode="sum")
    target = taps.targets[:, None].expand_as(sampled)
    out, first_out = (weights == 0).max(dim=1, keepdim=True)  # its zero takes part in the maximum
    values = sampled.new_zeros(len(out), 1).masked_fill_(~out, -torch.inf).repeat(1, features.shape[1])
    values.scatter_reduce_(0, target, sampled, "amax")
    # The earliest of the parts that reach the maximum has the largest rank.
    ranks = _equal(values, torch.zeros_like(values)).mul_(out * (p - first_out).to(values.dtype))
    won = _equal(sampled, values.index_select(0, taps.targets)).mul_((p - taps.parts).to(values.dtype)[:, None])
    ranks.scatter_reduce_(0, target, won, "amax")
    return _image(values, masks), _image((p - ranks).to(torch.uint8), masks)


def backward(grad: Tensor, winners: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    """Gradient of the features, [b c h w], from that of the values and the winning parts."""
    taps = _taps(ndc, _rows(masks), masks.shape[-2:])
    won = _equal(_rows(winners).index_select(0, taps.targets), taps.parts.to(torch.uint8)[:, None], grad.dtype)
    sampled = _rows(grad).index_select(0, taps.targets).mul_(won)  # gradient of each pair's sample
    result = grad.new_zeros(grad[:, 0].numel(), grad.shape[1])
    for source, weight in zip(taps.sources.unbind(1), taps.weights.unbind(1), strict=True):
        result.index_add_(0, source, sampled * weight[:, None])
    return _image(result, masks)


def _taps(ndc: Tensor, weights: Tensor, size: torch.Size) -> Taps:
    """List what every part samples, by its maps [b p 2 3] and its weight at each place [hwb, p]."""
    (b, p), (h, w) = ndc.shape[:2], size
    pairs = weights.flatten().nonzero()[:, 0]
    targets, parts = pairs // p, pairs % p
    samples, pixels = targets % b, targets // b
    y, x = axes((h, w), like=ndc)
    maps = ndc.flatten(0, 1).index_select(0, samples * p + parts)
    source_x, source_y = positions(maps, x[pixels % w], y[pixels // w]).unbind(-1)
    columns, across = _neighbours(source_x, w)
    rows, down = _neighbours(source_y, h)
    rows = rows.mul_(w * b).add_(samples[:, None])
    down = down * weights.flatten().index_select(0, pairs)[:, None]
    return Taps(
        targets,
        parts,
        sources=(rows[:, :, None] + columns.mul_(b)[:, None, :]).flatten(1),
        weights=(down[:, :, None] * across[:, None, :]).flatten(1),
    )


def _neighbours(ndc: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The two pixels round each position on an axis, and their linear weights, zero outside the map: both [n 2]."""
    position = (ndc + 1) * ((length - 1) / 2)
    first = position.floor()
    fraction = position - first
    pixels = torch.stack([first, first + 1], dim=1)
    nearest = pixels.clamp(0, length - 1)
    return nearest.long(), torch.stack([1 - fraction, fraction], dim=1) * _equal(pixels, nearest)


def _equal(a: Tensor, b: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """1 where equal, else 0, as floats."""
    return torch.eq(a, b, out=a.new_empty(0, dtype=dtype or a.dtype))


def _rows(image: Tensor) -> Tensor:
    """[b c h w] -> [hwb, c], contiguous."""
    return image.permute(2, 3, 0, 1).reshape(-1, image.shape[1])


def _image(rows: Tensor, like: Tensor) -> Tensor:
    """[hwb, c] -> [b c h w], contiguous."""
    b, _, h, w = like.shape
    return rows.view(h, w, b, -1).permute(2, 3, 0, 1).contiguous()
