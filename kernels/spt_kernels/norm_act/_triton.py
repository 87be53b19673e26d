"""`norm_act` as Triton tiles of R rows by N elements; a row is one group of one sample.

Rows and elements have free strides: contiguous maps put a row's elements side by side, channels-last ones with a group
per channel put the rows side by side. A tile's sums go to a table [b g tiles] that is added up afterwards: nothing
depends on the order in which programs run.
"""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 4096  # elements


@triton.jit
@typing.no_type_check
def _place(rows, elements, stride_b, stride_r, stride_n, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    """A program's rows [R], its elements' offsets and which of them exist [R N]."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    offsets = tl.program_id(2).to(tl.int64) * stride_b + r[:, None] * stride_r + n[None, :] * stride_n
    return r, offsets, (r < rows)[:, None] & (n < elements)[None, :]


@triton.jit
@typing.no_type_check
def _norm_act_moments_kernel(
    x, means, squares, rows, elements, tiles, stride_b, stride_r, stride_n,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    r, offsets, exists = _place(rows, elements, stride_b, stride_r, stride_n, BLOCK_R, BLOCK_N)
    value = tl.load(x + offsets, mask=exists, other=0.0).to(tl.float32)
    count = tl.minimum(elements - tl.program_id(1) * BLOCK_N, BLOCK_N).to(tl.float32)
    mean = tl.sum(value, axis=1) / count
    centred = tl.where(exists, value - mean[:, None], 0.0)
    entry = (tl.program_id(2).to(tl.int64) * rows + r) * tiles + tl.program_id(1)
    tl.store(means + entry, mean, mask=r < rows)
    tl.store(squares + entry, tl.sum(centred * centred, axis=1), mask=r < rows)


@triton.jit
@typing.no_type_check
def _norm_act_join_kernel(means, squares, mean_out, rstd_out, elements, tiles, eps, N: tl.constexpr, T: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)  # counts over the whole batch
    t = tl.arange(0, T)
    count = tl.where(t < tiles, tl.minimum(elements - t * N, N), 0).to(tl.float32)
    part = tl.load(means + row * tiles + t, mask=t < tiles, other=0.0)
    mean = tl.sum(part * count, axis=0) / elements
    apart = part - mean
    square = tl.load(squares + row * tiles + t, mask=t < tiles, other=0.0) + count * apart * apart
    tl.store(mean_out + row, mean)
    tl.store(rstd_out + row, tl.rsqrt(tl.sum(square, axis=0) / elements + eps))


@triton.jit
@typing.no_type_check
def _norm_act_forward_kernel(
    x, mean, rstd, weight, bias, result, rows, elements, slope, stride_b, stride_r, stride_n,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    r, offsets, exists = _place(rows, elements, stride_b, stride_r, stride_n, BLOCK_R, BLOCK_N)
    row = tl.program_id(2).to(tl.int64) * rows + r
    centre = tl.load(mean + row, mask=r < rows, other=0.0)[:, None]
    scale = tl.load(rstd + row, mask=r < rows, other=0.0)[:, None] * tl.load(weight)
    value = tl.load(x + offsets, mask=exists, other=0.0).to(tl.float32)
    value = (value - centre) * scale + tl.load(bias)
    tl.store(result + offsets, tl.where(value > 0, value, slope * value), mask=exists)


@triton.jit
@typing.no_type_check
def _gradients(grads, x, mean, rstd, weight, bias, offsets, exists, r, rows, slope):
    """The gradient in front of the activation, and the normed elements: both [R N]."""
    row = tl.program_id(2).to(tl.int64) * rows + r
    centre = tl.load(mean + row, mask=r < rows, other=0.0)[:, None]
    scale = tl.load(rstd + row, mask=r < rows, other=0.0)[:, None]
    normed = (tl.load(x + offsets, mask=exists, other=0.0).to(tl.float32) - centre) * scale
    grad = tl.load(grads + offsets, mask=exists, other=0.0).to(tl.float32)
    grad = tl.where(normed * tl.load(weight) + tl.load(bias) > 0, grad, slope * grad)
    return grad, tl.where(exists, normed, 0.0), scale


@triton.jit
@typing.no_type_check
def _norm_act_sums_kernel(
    grads, x, mean, rstd, weight, bias, sums, products, rows, elements, tiles, slope, stride_b, stride_r, stride_n,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    r, offsets, exists = _place(rows, elements, stride_b, stride_r, stride_n, BLOCK_R, BLOCK_N)
    grad, normed, _ = _gradients(grads, x, mean, rstd, weight, bias, offsets, exists, r, rows, slope)
    entry = (tl.program_id(2).to(tl.int64) * rows + r) * tiles + tl.program_id(1)
    tl.store(sums + entry, tl.sum(grad, axis=1), mask=r < rows)
    tl.store(products + entry, tl.sum(grad * normed, axis=1), mask=r < rows)


@triton.jit
@typing.no_type_check
def _norm_act_backward_kernel(
    grads, x, mean, rstd, weight, bias, sums, products, result, rows, elements, slope, stride_b, stride_r, stride_n,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    r, offsets, exists = _place(rows, elements, stride_b, stride_r, stride_n, BLOCK_R, BLOCK_N)
    grad, normed, scale = _gradients(grads, x, mean, rstd, weight, bias, offsets, exists, r, rows, slope)
    row = tl.program_id(2).to(tl.int64) * rows + r
    along_one = tl.load(sums + row, mask=r < rows, other=0.0)[:, None] / elements
    along_x = tl.load(products + row, mask=r < rows, other=0.0)[:, None] / elements
    value = (grad - along_one - normed * along_x) * (scale * tl.load(weight))
    tl.store(result + offsets, value, mask=exists)


def forward(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, in x's type and layout, and each group's mean and reciprocal deviation, float32 [b g]."""
    x = _dense(x, groups)
    grid, layout, blocks = _tiling(x, groups)
    result = torch.empty_like(x)
    means, squares = torch.empty(2, x.shape[0], groups, grid[1], dtype=torch.float32, device=x.device)
    mean = torch.empty(x.shape[0], groups, dtype=torch.float32, device=x.device)
    rstd = torch.empty_like(mean)
    if x.numel():
        elements, tiles = x[0].numel() // groups, grid[1]
        _norm_act_moments_kernel[grid](x, means, squares, groups, elements, tiles, *layout, **blocks)
        _norm_act_join_kernel[mean.numel(),](
            means, squares, mean, rstd, elements, tiles, eps, N=blocks["BLOCK_N"], T=_power_of_2(tiles)
        )
        _norm_act_forward_kernel[grid](x, mean, rstd, weight, bias, result, groups, elements, slope, *layout, **blocks)
    return result, mean, rstd


def backward(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, in its type and layout, of the weight and of the bias, float32."""
    groups = mean.shape[1]
    x = _dense(x, groups)
    grad = torch.empty_like(x).copy_(grad) if grad.stride() != x.stride() else grad
    grid, layout, blocks = _tiling(x, groups)
    result = torch.empty_like(x)
    sums, products = torch.zeros(2, x.shape[0], groups, grid[1], dtype=torch.float32, device=x.device)
    if x.numel():
        elements, tiles = x[0].numel() // groups, grid[1]
        saved = (grad, x, mean, rstd, weight, bias)
        _norm_act_sums_kernel[grid](*saved, sums, products, groups, elements, tiles, slope, *layout, **blocks)
        sums, products = sums.sum(dim=2), products.sum(dim=2)
        _norm_act_backward_kernel[grid](*saved, sums, products, result, groups, elements, slope, *layout, **blocks)
    return result, products.sum().view(1), sums.sum().view(1)


def _dense(x: Tensor, groups: int) -> Tensor:
    """Channels-last maps are taken as they are where a group is one channel or all of them; else NCHW."""
    if groups in (1, x.shape[1]) and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous()


def _tiling(x: Tensor, groups: int) -> tuple[tuple[int, int, int], tuple[int, int, int], dict[str, int]]:
    """Grid (row blocks, tiles of a row, samples), strides (sample, row, element) and block sizes."""
    (b, c, h, w), elements = x.shape, x[0].numel() // groups
    beside = groups > 1 and not x.is_contiguous()  # channels-last: rows lie side by side
    block_r = min(32, _power_of_2(groups)) if beside else 1
    block_n = min(TILE // block_r, _power_of_2(elements))
    strides = (c * h * w, 1, groups) if beside else (c * h * w, elements, 1)
    return (-(-groups // block_r), -(-elements // block_n), b), strides, {
        "BLOCK_R": block_r, "BLOCK_N": block_n,
    }  # fmt: skip


def _power_of_2(length: int) -> int:
    """The next one."""
    return 1 << max(length - 1, 0).bit_length()
