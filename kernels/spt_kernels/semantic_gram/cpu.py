"""The semantic Gram matrices for processors: only the pixels inside a region are gathered and multiplied.

Most pixels lie in no region, so the products cost a small part of the dense form's. A sample's regions become one
matrix [channels, pixels], region after region; each region's columns are then one matrix product.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from spt_kernels import native
from spt_kernels.semantic_gram.dense import Regions, compare

__all__ = ["backward", "compare", "find", "forward"]


def find(source: Tensor, regions: Sequence[int], size: tuple[int, int]) -> Regions:
    """Pixels and weights [b r hw] of regions in labels [b H W] uint8 or masks [b r h w] float32; their number [b r]."""
    (h, w), owners, source = size, (source.shape[0], len(regions)), source.contiguous()
    places, weights = (torch.empty(*owners, h * w, dtype=dtype) for dtype in (torch.int32, torch.float32))
    counts = torch.empty(owners, dtype=torch.int64)
    areas, peaks = (torch.empty(owners, dtype=torch.float32) for _ in range(2))
    if source.dtype == torch.uint8:
        wanted, factor = torch.tensor(regions), source.shape[1] // h
        results = (places, weights, counts, areas, peaks)
        native.call("semantic_gram_find", source, wanted, *owners, h, w, factor, *results)
    else:
        native.call("semantic_gram_find_soft", source, counts.numel(), h * w, places, weights, counts)
    return Regions((places, weights, counts), areas, peaks)


def forward(features: Tensor, source: Tensor, regions: Sequence[int], found: Regions, grams: Tensor) -> None:
    """Write the Gram matrices [b r c c]."""
    pixels = features.shape[2] * features.shape[3]
    for sample, inside in _gathered(features, found, squared=False):
        for region, columns in enumerate(inside):
            torch.mm(columns, columns.T, out=grams[sample, region])
    grams.div_(pixels)


def backward(pulls: Tensor, features: Tensor, source: Tensor, regions: Sequence[int], result: Tensor) -> None:
    """Write the gradient of the features from `D + D^T` of every Gram matrix."""
    b, c, h, w = features.shape
    found = find(source, regions, (h, w))
    pulls = pulls / (h * w)
    plain = result.dtype == torch.float32 and result.is_contiguous()
    out = result if plain else pulls.new_empty(b, c, h, w)
    for sample, inside in _gathered(features, found, squared=True):
        places, counts = found.lists[0][sample], found.lists[2][sample]
        entries = pulls.new_empty(c, sum(columns.shape[1] for columns in inside))
        for pull, columns, entry in zip(pulls[sample], inside, entries.split(counts.tolist(), dim=1), strict=True):
            torch.mm(pull, columns, out=entry)
        shape = (c, len(counts), h * w, entries.shape[1])
        native.call("semantic_gram_scatter", entries, places, counts, *shape, out[sample])
    if not plain:
        result.copy_(out)


def _gathered(features: Tensor, found: Regions, squared: bool) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Every sample's weighted features, cut into regions [c n]."""
    c, pixels = features.shape[1], features.shape[2] * features.shape[3]
    features = features.float().contiguous()
    for sample, (places, weights, counts) in enumerate(zip(*found.lists, strict=True)):
        sizes = counts.tolist()
        inside = features.new_empty(c, sum(sizes))
        shape = (c, len(sizes), pixels, inside.shape[1], int(squared))
        native.call("semantic_gram_gather", features[sample], places, weights, counts, *shape, inside)
        yield sample, inside.split(sizes, dim=1)
