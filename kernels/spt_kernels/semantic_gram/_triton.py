"""`semantic_gram` as Triton tiles. Feature strides are free; masks and gradients are contiguous float32."""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_N = 64


@triton.jit
@typing.no_type_check
def _semantic_gram_forward_kernel(
    features, masks, grams, regions, channels, pixels, stride_b, stride_c, stride_n,
    BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    region = tl.program_id(0).to(tl.int64)  # counts over the whole batch
    i = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    j = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    features += region // regions * stride_b
    masks += region * pixels
    gram = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    for start in range(0, pixels, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        mask = tl.load(masks + n, mask=n < pixels, other=0.0)  # [N]
        if tl.max(tl.abs(mask)) > 0:
            here = (n < pixels)[None, :]
            place = n[None, :] * stride_n
            left = tl.load(features + i[:, None] * stride_c + place, mask=(i < channels)[:, None] & here, other=0.0)
            right = tl.load(features + j[:, None] * stride_c + place, mask=(j < channels)[:, None] & here, other=0.0)
            left, right = left.to(tl.float32) * mask, right.to(tl.float32) * mask  # [C N]
            gram = tl.dot(left, tl.trans(right), gram, input_precision="ieee")
    inside = (i < channels)[:, None] & (j < channels)[None, :]
    grams += region * channels * channels
    tl.store(grams + i[:, None] * channels + j[None, :], gram / pixels, mask=inside)


@triton.jit
@typing.no_type_check
def _semantic_gram_backward_kernel(
    grads, features, masks, result, regions, channels, pixels, stride_b, stride_c, stride_n,
    BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    features += batch * stride_b
    total = tl.zeros((BLOCK_C, BLOCK_N), tl.float32)
    for r in range(regions):
        region = batch * regions + r
        mask = tl.load(masks + region * pixels + n, mask=n < pixels, other=0.0)  # [N]
        if tl.max(tl.abs(mask)) > 0:
            grad = grads + region * channels * channels
            for start in range(0, channels, BLOCK_C):
                j = start + tl.arange(0, BLOCK_C)
                inside = (i < channels)[:, None] & (j < channels)[None, :]
                both = tl.load(grad + i[:, None] * channels + j[None, :], mask=inside, other=0.0)
                both += tl.load(grad + j[None, :] * channels + i[:, None], mask=inside, other=0.0)  # D + D^T, [C C]
                here = (j < channels)[:, None] & (n < pixels)[None, :]
                right = tl.load(features + j[:, None] * stride_c + n[None, :] * stride_n, mask=here, other=0.0)
                total = tl.dot(both, right.to(tl.float32) * (mask * mask), total, input_precision="ieee")
    here = (i < channels)[:, None] & (n < pixels)[None, :]
    result += batch * channels * pixels
    tl.store(result + i[:, None] * pixels + n[None, :], total / pixels, mask=here)


def forward(features: Tensor, masks: Tensor) -> Tensor:
    """[b c h w], [b r h w] float32 -> [b r c c] float32."""
    rows, masks = features.flatten(2), masks.contiguous()
    (b, c, n), r = rows.shape, masks.shape[1]
    grams = torch.empty(b, r, c, c, dtype=torch.float32, device=features.device)
    block = _channel_block(c)
    tiles = -(-c // block)
    if grams.numel():
        _semantic_gram_forward_kernel[b * r, tiles, tiles](
            rows, masks, grams, r, c, n, *rows.stride(), BLOCK_C=block, BLOCK_N=BLOCK_N
        )
    return grams


def backward(grad: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    """Gradient of the features, contiguous and in their type."""
    rows, masks = features.flatten(2), masks.contiguous()
    (b, c, n), r = rows.shape, masks.shape[1]
    result = torch.empty(features.shape, dtype=features.dtype, device=features.device)
    block = _channel_block(c)
    if result.numel():
        _semantic_gram_backward_kernel[b, -(-c // block), -(-n // BLOCK_N)](
            grad.contiguous(), rows, masks, result, r, c, n, *rows.stride(), BLOCK_C=block, BLOCK_N=BLOCK_N,
            num_stages=2,  # pyright: ignore[reportCallIssue]  # 80 KiB of shared memory; three would not fit small GPUs
        )  # fmt: skip
    return result


def _channel_block(channels: int) -> int:
    """A tensor-core tile: 16, 32 or 64 channels."""
    return min(64, max(16, 1 << (channels - 1).bit_length()))
