"""The least that the semantic Gram matrices and the style loss must move and compute.

Only features of pixels that lie in a region count, each read once; label maps and Gram matrices once. A pixel costs
`2 c^2` flops per region that it lies in. The gradient is dense, so all of it is written.
"""

from collections.abc import Sequence

from torch import Tensor

from spt_kernels.cost import Cost
from spt_kernels.semantic_gram.reference import region_masks


def forward_cost(features: Tensor, labels: Tensor, regions: Sequence[int]) -> Cost:
    """Features and labels read, Gram matrices written."""
    bytes_read, flops = _inside(features, labels, regions)
    return Cost(bytes_read + labels.numel() + _gram_bytes(features, regions), flops)


def backward_cost(features: Tensor, labels: Tensor, regions: Sequence[int]) -> Cost:
    """Features, labels and the gradients of the Gram matrices read, that of the features written."""
    bytes_read, flops = _inside(features, labels, regions)
    written = features.numel() * features.element_size()
    return Cost(bytes_read + labels.numel() + _gram_bytes(features, regions) + written, flops)


def style_forward_cost(features: Tensor, labels_a: Tensor, labels_b: Tensor, regions: Sequence[int]) -> Cost:
    """Three times features, one of them in the regions of B; both label maps read once."""
    bytes_a, flops_a = _inside(features, labels_a, regions)
    bytes_b, flops_b = _inside(features, labels_b, regions)
    maps = labels_a.numel() + labels_b.numel()
    return Cost(2 * bytes_a + bytes_b + maps + 3 * _gram_bytes(features, regions), 2 * flops_a + flops_b)


def style_backward_cost(features: Tensor, labels_a: Tensor, labels_b: Tensor, regions: Sequence[int]) -> Cost:
    """The gradients of B^ and A^."""
    of_a, of_b = (backward_cost(features, labels, regions) for labels in (labels_a, labels_b))
    return Cost(of_a.bytes + of_b.bytes, of_a.flops + of_b.flops)


def _inside(features: Tensor, labels: Tensor, regions: Sequence[int]) -> tuple[int, int]:
    """Bytes of the features that lie in a region, and flops of their products."""
    channels, (h, w) = features.shape[1], features.shape[2:]
    present = region_masks(labels, regions, (h, w)) > 0  # [b r h w]
    pixels = int(present.any(dim=1).sum())
    return pixels * channels * features.element_size(), 2 * channels * channels * int(present.sum())


def _gram_bytes(features: Tensor, regions: Sequence[int]) -> int:
    """Gram matrices are float32."""
    return 4 * features.shape[0] * len(regions) * features.shape[1] ** 2
