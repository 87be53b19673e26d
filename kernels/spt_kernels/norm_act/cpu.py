"""`norm_act` for processors: torch's own normalisation, the activation in place; compiled where nothing is trained."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spt_kernels import native


def forward(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, [b c h w], and each group's mean and reciprocal deviation, [b g]."""
    b, c, h, w = x.shape
    weights, biases = weight.repeat(c), bias.repeat(c)
    result, mean, rstd = torch.ops.aten.native_group_norm(x, weights, biases, b, c, h * w, groups, eps)
    return F.leaky_relu_(result, slope), mean, rstd


def forward_whole(x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
    """The result alone, of whole samples: dense float32 maps of any layout, which the result keeps."""
    result = torch.empty_like(x)
    native.call("spt_norm_act_whole", x, weight, bias, result, x.shape[0], x[0].numel(), float(eps), float(slope))
    return result


def backward(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of the weight and of the bias."""
    (b, c, h, w), groups = x.shape, mean.shape[1]
    if slope != 1:
        scale = (rstd * weight)[..., None]
        before = torch.addcmul(bias - mean[..., None] * scale, x.view(b, groups, -1), scale).view_as(x)
        grad = torch.ops.aten.leaky_relu_backward(grad, before, slope, False)
    x_grad, weights, biases = torch.ops.aten.native_group_norm_backward(
        grad, x, mean, rstd, weight.repeat(c), b, c, h * w, groups, [True, True, True]
    )
    return x_grad, weights.sum(dim=0, keepdim=True), biases.sum(dim=0, keepdim=True)
