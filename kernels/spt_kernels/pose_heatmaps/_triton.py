"""`pose_heatmaps` as Triton tiles. The maps' strides are free, so that they may be a slice of a network's input."""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_W, TILE = 128, 1024  # px


@triton.jit
@typing.no_type_check
def _pose_heatmaps_forward_kernel(
    joints, visible, out, maps, height, width, scale, stride_b, stride_k, stride_h, stride_w,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    joint = tl.program_id(0).to(tl.int64)  # counts over the whole batch
    row = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)[:, None]
    column = tl.program_id(2) * BLOCK_W + tl.arange(0, BLOCK_W)[None, :]
    value = tl.zeros((BLOCK_H, BLOCK_W), tl.float32)
    if tl.load(visible + joint):
        x = column.to(tl.float32) - tl.load(joints + 2 * joint)
        y = row.to(tl.float32) - tl.load(joints + 2 * joint + 1)
        value = tl.exp(-(x * x + y * y) * scale)
    place = out + joint // maps * stride_b + joint % maps * stride_k
    tl.store(place + row * stride_h + column * stride_w, value, mask=(row < height) & (column < width))


def forward(joints: Tensor, visible: Tensor, sigma_px: float, out: Tensor) -> None:
    """Write the maps of joints [b k 2] float32 into `out` [b k h w], of any strides and float type."""
    b, k, h, w = out.shape
    block_w = min(BLOCK_W, 1 << max(w - 1, 0).bit_length())
    block_h = TILE // block_w
    if out.numel():
        _pose_heatmaps_forward_kernel[b * k, -(-h // block_h), -(-w // block_w)](
            joints.contiguous(), visible.to(torch.uint8), out, k, h, w, 0.5 / sigma_px**2, *out.stride(),
            BLOCK_H=block_h, BLOCK_W=block_w,
        )  # fmt: skip
