"""The door into `tile_conv`: takes the tiles where they win, and tells torch shapes and gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_kernels.paths import is_on_processor
from spt_kernels.tile_conv import cpu, reference

Length = int | torch.SymInt
KERNELS = (3, 4)
LEAST_CHANNELS, LEAST_PX = 64, 16  # below, direct convolutions are as fast


def tile_conv(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "o c k k"],
    bias: Float[Tensor, " o"] | None = None,
    padding: int = 0,
    reflect: bool = False,
) -> Float[Tensor, "b o i j"]:
    """Convolve with stride 1; on processors 3x3 and 4x4 kernels take a quarter of the multiplications.

    Elsewhere, and for few channels, small maps, other kernels and other types, torch's own convolution computes it (on
    GPUs cuDNN chooses such an algorithm by itself). Gradients: of `x`, `weight` and `bias`, where they are asked for.

    Args:
        x: maps.
        weight: square kernels, as `torch.nn.functional.conv2d` has them.
        bias: added to each of the result's channels.
        padding: pixels added on each side, smaller than the kernel and the maps.
        reflect: whether those mirror the map instead of being zero.

    Returns:
        Maps of `h + 2 padding - k + 1` rows, in x's type; differences to a direct convolution are about 2e-6 of the
        largest value in float32.
    """
    outputs, channels, kernel, _ = weight.shape
    fits = (
        is_on_processor(x)
        and x.dtype == weight.dtype == torch.float32
        and kernel in KERNELS
        and min(outputs, channels) >= LEAST_CHANNELS
        and min(x.shape[2:]) >= LEAST_PX
    )
    if not fits:
        return reference.tile_conv(x, weight, bias, padding, reflect)
    result = _conv(x, weight, padding, reflect)
    return result if bias is None else result + bias[:, None, None]


@torch.library.custom_op("spt_kernels::tile_conv", mutates_args=(), device_types="cpu")
def _conv(x: Tensor, weight: Tensor, padding: int, reflect: bool) -> Tensor:
    return cpu.forward(x.contiguous(), weight, padding, reflect)


@_conv.register_fake
def _(x: Tensor, weight: Tensor, padding: Length, reflect: bool) -> Tensor:
    h, w = (length + 2 * padding - weight.shape[2] + 1 for length in x.shape[2:])
    return x.new_empty(x.shape[0], weight.shape[0], h, w)


@torch.library.custom_op("spt_kernels::tile_conv_backward_data", mutates_args=(), device_types="cpu")
def _backward_data(grad: Tensor, weight: Tensor, height: int, width: int, padding: int, reflect: bool) -> Tensor:
    return cpu.backward_data(grad.contiguous(), weight, (height, width), padding, reflect)


@_backward_data.register_fake
def _(grad: Tensor, weight: Tensor, height: Length, width: Length, padding: Length, reflect: bool) -> Tensor:
    return grad.new_empty(grad.shape[0], weight.shape[1], height, width)


@torch.library.custom_op("spt_kernels::tile_conv_backward_weight", mutates_args=(), device_types="cpu")
def _backward_weight(grad: Tensor, x: Tensor, kernel: int, padding: int, reflect: bool) -> Tensor:
    return cpu.backward_weight(grad.contiguous(), x.contiguous(), kernel, padding, reflect)


@_backward_weight.register_fake
def _(grad: Tensor, x: Tensor, kernel: Length, padding: Length, reflect: bool) -> Tensor:
    return grad.new_empty(grad.shape[1], x.shape[1], kernel, kernel)


def _setup(ctx, inputs, output) -> None:
    x, weight, ctx.padding, ctx.reflect = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)  # a frozen network keeps no maps


def _backward(ctx, grad):
    (x, weight), (height, width) = ctx.saved_tensors, ctx.size
    x_grad = weight_grad = None
    if ctx.needs_input_grad[0]:
        x_grad = _backward_data(grad, weight, height, width, ctx.padding, ctx.reflect)
    if ctx.needs_input_grad[1]:
        weight_grad = _backward_weight(grad, x, weight.shape[2], ctx.padding, ctx.reflect)
    return x_grad, weight_grad, None, None


_conv.register_autograd(_backward, setup_context=_setup)
