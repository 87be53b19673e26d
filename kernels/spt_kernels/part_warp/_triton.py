"""`part_warp` as Triton tiles. Feature strides are free; maps, masks, gradients and winners are contiguous."""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_N = 64


@triton.jit
@typing.no_type_check
def _source(ndc, n, height, width):
    """Where one map samples for pixels n: the first tap's x and y, and the fractions beyond it; all [N] float32."""
    half_w, half_h = (width - 1) / 2.0, (height - 1) / 2.0
    x = ((n % width).to(tl.float32) - half_w) / tl.maximum(half_w, 0.5)  # -1 to 1; a single pixel lies at 0
    y = ((n // width).to(tl.float32) - half_h) / tl.maximum(half_h, 0.5)
    source_x = (tl.load(ndc) * x + tl.load(ndc + 1) * y + tl.load(ndc + 2) + 1) * half_w
    source_y = (tl.load(ndc + 3) * x + tl.load(ndc + 4) * y + tl.load(ndc + 5) + 1) * half_h
    first_x, first_y = tl.floor(source_x), tl.floor(source_y)
    return first_x, first_y, source_x - first_x, source_y - first_y


@triton.jit
@typing.no_type_check
def _tap(first_x, first_y, fraction_x, fraction_y, height, width, DX: tl.constexpr, DY: tl.constexpr):
    """Tap (DX, DY) of four: its pixel, its bilinear weight, and whether it lies on the map; all [N]."""
    x, y = first_x + DX, first_y + DY
    weight = (fraction_x if DX else 1 - fraction_x) * (fraction_y if DY else 1 - fraction_y)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixel = tl.where(inside, y, 0.0).to(tl.int32) * width + tl.where(inside, x, 0.0).to(tl.int32)
    return pixel, weight, inside


@triton.jit
@typing.no_type_check
def _part_warp_forward_kernel(
    features, ndc, masks, values, winners, parts, channels, height, width, stride_b, stride_c, stride_n,
    BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    batch = tl.program_id(2).to(tl.int64)
    pixels = height * width
    place = features + batch * stride_b + c[:, None] * stride_c
    best = tl.full((BLOCK_C, BLOCK_N), -float("inf"), tl.float32)
    winner = tl.zeros((BLOCK_C, BLOCK_N), tl.int32)
    for p in range(parts):
        part = batch * parts + p
        mask = tl.load(masks + part * pixels + n, mask=n < pixels, other=0.0)  # [N]
        value = tl.zeros((BLOCK_C, BLOCK_N), tl.float32)
        if tl.max(tl.abs(mask)) > 0:
            first_x, first_y, fraction_x, fraction_y = _source(ndc + part * 6, n, height, width)
            for tap in tl.static_range(4):
                pixel, weight, inside = _tap(first_x, first_y, fraction_x, fraction_y, height, width, tap % 2, tap // 2)
                live = (c < channels)[:, None] & (inside & (mask != 0))[None, :]
                value += weight * tl.load(place + pixel[None, :] * stride_n, mask=live, other=0.0).to(tl.float32)
            value *= mask
        better = (value > best) | (value != value)  # a NaN stays seen
        best = tl.where(better, value, best)
        winner = tl.where(better, p, winner)
    target = batch * channels * pixels + c[:, None] * pixels + n[None, :]
    inside = (c < channels)[:, None] & (n < pixels)[None, :]
    tl.store(values + target, best, mask=inside)
    tl.store(winners + target, winner.to(tl.uint8), mask=inside)


@triton.jit
@typing.no_type_check
def _part_warp_backward_kernel(
    grads, winners, ndc, masks, result, parts, channels, height, width,
    BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    batch = tl.program_id(2).to(tl.int64)
    pixels = height * width
    here = (c < channels)[:, None] & (n < pixels)[None, :]
    target = batch * channels * pixels + c[:, None] * pixels + n[None, :]
    grad = tl.load(grads + target, mask=here, other=0.0).to(tl.float32)
    winner = tl.load(winners + target, mask=here, other=255).to(tl.int32)
    place = result + batch * channels * pixels + c[:, None] * pixels
    for p in range(parts):
        part = batch * parts + p
        mask = tl.load(masks + part * pixels + n, mask=n < pixels, other=0.0)  # [N]
        if tl.max(tl.abs(mask)) > 0:
            first_x, first_y, fraction_x, fraction_y = _source(ndc + part * 6, n, height, width)
            for tap in tl.static_range(4):
                pixel, weight, inside = _tap(first_x, first_y, fraction_x, fraction_y, height, width, tap % 2, tap // 2)
                won = here & (winner == p) & (inside & (mask != 0))[None, :]
                tl.atomic_add(place + pixel[None, :], grad * (weight * mask), mask=won)


def forward(features: Tensor, ndc: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Values, in the features' type, and winning parts, uint8, both [b c h w]."""
    (b, c, h, w), p = features.shape, masks.shape[1]
    rows = features.flatten(2)
    values = torch.empty(features.shape, dtype=features.dtype, device=features.device)
    winners = torch.empty(features.shape, dtype=torch.uint8, device=features.device)
    if values.numel():
        _part_warp_forward_kernel[_grid(b, c, h * w)](
            rows, ndc.contiguous(), masks.contiguous(), values, winners, p, c, h, w, *rows.stride(),
            BLOCK_C=_channel_block(c), BLOCK_N=BLOCK_N,
        )  # fmt: skip
    return values, winners


def backward(grad: Tensor, winners: Tensor, ndc: Tensor, masks: Tensor) -> Tensor:
    """Gradient of the features, contiguous and in the gradient's type; summed in float32, in no fixed order."""
    (b, c, h, w), p = grad.shape, masks.shape[1]
    result = torch.zeros(grad.shape, dtype=torch.float32, device=grad.device)
    if result.numel():
        _part_warp_backward_kernel[_grid(b, c, h * w)](
            grad.contiguous(), winners.contiguous(), ndc.contiguous(), masks.contiguous(), result, p, c, h, w,
            BLOCK_C=_channel_block(c), BLOCK_N=BLOCK_N,
        )  # fmt: skip
    return result.to(grad.dtype)


def _grid(batch: int, channels: int, pixels: int) -> tuple[int, int, int]:
    return -(-pixels // BLOCK_N), -(-channels // _channel_block(channels)), batch


def _channel_block(channels: int) -> int:
    """The next power of two, at most 16."""
    return min(16, 1 << (channels - 1).bit_length())
