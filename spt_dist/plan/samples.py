"""One sample of every kind of operation that `calibrate` times by its bytes: maps [b c h w] to a call.

Kinds without a sample are taken for `add`: they read maps and write one.
"""

from collections.abc import Callable

import torch
from spt_kernels.part_warp.reference import ndc_transforms
from torch import Tensor
from torch.nn import functional as F

from spt_dist.bench_steps import drawn_pairs
from spt_dist.body import STYLE_LABELS
from spt_dist.geometry import part_warps

Call = Callable[[], object]
PEOPLE_PX = (64, 64)
aten, ours = torch.ops.aten, torch.ops.spt_kernels


def _norm_backward(x: Tensor) -> Call:
    one, none = torch.ones(1), torch.zeros(1)
    _, mean, rstd = ours.norm_act(x, x.shape[1], one, none, 1e-5, 0.0)
    return lambda: ours.norm_act_backward(x, x, mean, rstd, one, none, 0.0)


def _warp(x: Tensor) -> tuple[Tensor, Tensor, int, int]:
    """Transforms and corners of drawn people, for maps of any size."""
    pairs = drawn_pairs(PEOPLE_PX, len(x))
    warps = part_warps(pairs.target.joints, pairs.source.joints, PEOPLE_PX)
    return ndc_transforms(warps.transforms, (x.shape[2], x.shape[3]), PEOPLE_PX), warps.quads, *PEOPLE_PX


def _part_warp(x: Tensor) -> Call:
    where = _warp(x)
    return lambda: ours.part_warp(x, *where)


def _part_warp_backward(x: Tensor) -> Call:
    where = _warp(x)
    _, winners = ours.part_warp(x, *where)
    return lambda: ours.part_warp_backward(x, winners, *where)


def _deep(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maps as 128 channels, such as the features that styles are compared in, and drawn people's labels."""
    features = x.reshape(len(x), 128, x.shape[2] // 4, -1)
    return features, drawn_pairs((2 * features.shape[2], 2 * features.shape[3]), len(x)).source.labels


def _style(x: Tensor) -> Call:
    features, labels = _deep(x)
    return lambda: ours.semantic_style_loss(features, features, features, labels, labels, list(STYLE_LABELS), True)


def _gram(x: Tensor) -> Call:
    features, labels = _deep(x)
    return lambda: ours.semantic_gram(features, labels, list(STYLE_LABELS))


def _gram_backward(x: Tensor) -> Call:
    features, labels = _deep(x)
    pulls = torch.randn(len(x), len(STYLE_LABELS), 128, 128)
    return lambda: ours.semantic_gram_backward(pulls, features, labels, list(STYLE_LABELS))


def _products(x: Tensor) -> Call:
    flat = x.flatten(2)
    return lambda: aten.bmm(flat, flat.transpose(1, 2))


def _singular_values(x: Tensor) -> Call:
    matrices = x[:, :, :14, :7].flatten(0, 1).double()
    return lambda: aten._linalg_svd(matrices, False)


def _heatmaps(x: Tensor) -> Call:
    joints, seen = torch.rand(len(x), x.shape[1], 2) * x.shape[2], torch.ones(len(x), x.shape[1], dtype=torch.bool)
    return lambda: ours.pose_heatmaps(joints, seen, 3.0, x)


def _pooled_backward(x: Tensor) -> Call:
    small, where = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
    return lambda: aten.max_pool2d_with_indices_backward(small, x, [2, 2], [2, 2], [0, 0], [1, 1], False, where)


def _reflected_backward(x: Tensor) -> Call:
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    return lambda: aten.reflection_pad2d_backward(padded, x, [1, 1, 1, 1])


SAMPLES: dict[str, Callable[[Tensor], Call]] = {
    "add": lambda x: lambda: aten.add(x, x),
    "relu_": lambda x: lambda: aten.relu_(x),
    "copy_": lambda x: (lambda y: lambda: aten.copy_(y, x))(torch.empty_like(x)),
    "cat": lambda x: lambda: aten.cat([x, x], 1),
    "tanh": lambda x: lambda: aten.tanh(x),
    "exp": lambda x: lambda: aten.exp(x),
    "pow": lambda x: lambda: aten.pow(x, 0.25),
    "_softmax": lambda x: lambda: aten._softmax(x, 1, False),
    "_softmax_backward_data": lambda x: lambda: aten._softmax_backward_data(x, x, 1, x.dtype),
    "_log_softmax": lambda x: lambda: aten._log_softmax(x, 1, False),
    "max": lambda x: lambda: aten.max(x, 1),
    "sum": lambda x: lambda: aten.sum(x, [2, 3]),
    "mse_loss": lambda x: lambda: aten.mse_loss(x, x),
    "threshold_backward": lambda x: lambda: aten.threshold_backward(x, x, 0),
    "leaky_relu": lambda x: lambda: aten.leaky_relu(x, 0.2),
    "leaky_relu_backward": lambda x: lambda: aten.leaky_relu_backward(x, x, 0.2, False),
    "avg_pool2d": lambda x: lambda: aten.avg_pool2d(x, [3, 3], [1, 1], [1, 1]),
    "avg_pool2d_backward": lambda x: lambda: aten.avg_pool2d_backward(x, x, [3, 3], [1, 1], [1, 1], False, False, None),
    "max_pool2d_with_indices": lambda x: lambda: aten.max_pool2d_with_indices(x, [2, 2], [2, 2]),
    "max_pool2d_with_indices_backward": _pooled_backward,
    "upsample_bilinear2d": lambda x: lambda: aten.upsample_bilinear2d(x, [2 * x.shape[2], 2 * x.shape[3]], False),
    "upsample_nearest2d": lambda x: lambda: aten.upsample_nearest2d(x, [2 * x.shape[2], 2 * x.shape[3]]),
    "reflection_pad2d": lambda x: lambda: aten.reflection_pad2d(x, [1, 1, 1, 1]),
    "reflection_pad2d_backward": _reflected_backward,
    "_linalg_svd": _singular_values,
    "pose_heatmaps": _heatmaps,
    "norm_act": lambda x: lambda: ours.norm_act(x, x.shape[1], torch.ones(1), torch.zeros(1), 1e-5, 0.0),
    "norm_act_backward": _norm_backward,
    "part_warp": _part_warp,
    "part_warp_backward": _part_warp_backward,
}
# Those whose time follows their flops.
ARITHMETIC: dict[str, Callable[[Tensor], Call]] = {
    "bmm": _products,
    "mm": lambda x: (lambda y: lambda: aten.mm(y, y.t()))(x.reshape(256, -1)),
    "semantic_style_loss": _style,
    "semantic_gram": _gram,
    "semantic_gram_backward": _gram_backward,
}
