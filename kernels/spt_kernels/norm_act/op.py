"""The door into `norm_act`: picks the device's form, and tells torch its shapes and its gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.norm_act import cpu
from spt_kernels.paths import is_on_processor


def norm_act(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, "1"] | None = None,
    bias: Float[Tensor, "1"] | None = None,
    eps: float = 1e-5,
    slope: float = 0.0,
) -> Float[Tensor, "b c h w"]:
    """Group normalisation with one weight and one bias for all channels, then a leaky ReLU.

    With as many groups as channels it is an instance norm; with one group it normalises over channels, rows and columns
    together. Gradients: of `x`, `weight` and `bias`.

    Args:
        x: any float type; statistics are float32 (float64 for float64).
        groups: how many equal groups of channels are normalised apart.
        weight: scale behind the norm; 1 without one.
        bias: shift behind the scale; 0 without one.
        eps: added to the variance.
        slope: what negative values are multiplied by: 0 is a ReLU, 1 is no activation.

    Returns:
        In x's type.

    Raises:
        ValueError: `groups` does not divide the channels.
    """
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"`groups` is {groups} but `x` has {channels} channels; give a divisor of them")
    precision = torch.promote_types(x.dtype, torch.float32)
    weight = x.new_ones(1, dtype=precision) if weight is None else weight.to(precision)
    bias = x.new_zeros(1, dtype=precision) if bias is None else bias.to(precision)
    if groups == 1 and is_on_processor(x) and x.dtype == torch.float32 and not torch.is_grad_enabled() and _is_dense(x):
        return _norm_whole(x, weight, bias, float(eps), float(slope))
    return _norm(x, groups, weight, bias, float(eps), float(slope))[0]


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("spt_kernels::norm_act_whole", mutates_args=(), device_types="cpu")
def _norm_whole(x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
    """Whole samples without gradients: nobody asks for the moments."""
    return cpu.forward_whole(x, weight, bias, eps, slope)


@_norm_whole.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("spt_kernels::norm_act", mutates_args=(), device_types="cpu")
def _norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and each group's mean and reciprocal deviation [b g]."""
    result, mean, rstd = cpu.forward(x.to(weight.dtype).contiguous(), groups, weight, bias, eps, slope)
    return result.to(x.dtype), mean, rstd


@_norm.register_kernel("cuda")
def _(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    if x.dtype == torch.float64:  # tests only: the kernels compute in float32
        return cpu.forward(x.contiguous(), groups, weight, bias, eps, slope)
    from spt_kernels.norm_act import _triton

    return _triton.forward(x, groups, weight, bias, eps, slope)


@_norm.register_fake
def _(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    statistics = weight.new_empty(x.shape[0], groups)
    return torch.empty_like(x, memory_format=_layout(x, groups)), statistics, torch.empty_like(statistics)


@torch.library.custom_op("spt_kernels::norm_act_backward", mutates_args=(), device_types="cpu")
def _norm_backward(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    wide, grad = x.to(weight.dtype).contiguous(), grad.to(weight.dtype).contiguous()
    x_grad, weight_grad, bias_grad = cpu.backward(grad, wide, mean, rstd, weight, bias, slope)
    return x_grad.to(x.dtype), weight_grad, bias_grad


@_norm_backward.register_kernel("cuda")
def _(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    if x.dtype == torch.float64:
        return cpu.backward(grad.contiguous(), x.contiguous(), mean, rstd, weight, bias, slope)
    from spt_kernels.norm_act import _triton

    return _triton.backward(grad, x, mean, rstd, weight, bias, slope)


@_norm_backward.register_fake
def _(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    x_grad = torch.empty_like(x, memory_format=_layout(x, mean.shape[1]))
    return x_grad, torch.empty_like(weight), torch.empty_like(bias)


def _layout(x: Tensor, groups: int | torch.SymInt) -> torch.memory_format:
    """The layout of the result: channels-last stays on a GPU where a group is one channel or all of them."""
    last = x.is_cuda and groups in (1, x.shape[1]) and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _setup(ctx, inputs, output) -> None:
    x, _, weight, bias, _, slope = inputs
    _, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.slope = slope
    ctx.save_for_backward(x, mean, rstd, weight, bias)


def _backward(ctx, grad, _mean, _rstd):
    x_grad, weight_grad, bias_grad = _norm_backward(grad, *ctx.saved_tensors, ctx.slope)
    return x_grad, None, weight_grad, bias_grad, None, None


_norm.register_autograd(_backward, setup_context=_setup)
