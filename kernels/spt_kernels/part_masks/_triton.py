"""`part_masks` as Triton tiles, and the test of one quadrilateral that other kernels share."""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_H, BLOCK_W = 8, 128  # px
OPTIONS: typing.Any = {"enable_fp_fusion": False}  # the order of roundings decides what lies on a border


@triton.jit
@typing.no_type_check
def quad_box(quad):
    """Left, top, right and bottom of the box round corners [4 2]; NaN where a corner is NaN."""
    x0, y0, x1, y1 = tl.load(quad), tl.load(quad + 1), tl.load(quad + 2), tl.load(quad + 3)
    x2, y2, x3, y3 = tl.load(quad + 4), tl.load(quad + 5), tl.load(quad + 6), tl.load(quad + 7)
    left, top = tl.minimum(tl.minimum(x0, x1), tl.minimum(x2, x3)), tl.minimum(tl.minimum(y0, y1), tl.minimum(y2, y3))
    right, bottom = (
        tl.maximum(tl.maximum(x0, x1), tl.maximum(x2, x3)),
        tl.maximum(tl.maximum(y0, y1), tl.maximum(y2, y3)),
    )
    sum_of_all = x0 + x1 + x2 + x3 + y0 + y1 + y2 + y3  # NaN where one is
    return tl.where(sum_of_all == sum_of_all, left, sum_of_all), top, right, bottom


@triton.jit
@typing.no_type_check
def quad_covers(quad, column, row):
    """Whether the pixels (column, row), float64 of any one shape, lie inside corners [4 2] or on the border."""
    below = column != column
    above, corner = below, below
    for edge in tl.static_range(4):
        this, last = quad + 2 * edge, quad + 2 * ((edge + 3) % 4)
        x1, y1 = tl.load(this) - column, tl.load(this + 1) - row
        x0, y0 = tl.load(last) - column, tl.load(last + 1) - row
        corner = corner | ((tl.abs(x1) < 1e-12) & (tl.abs(y1) < 1e-12))
        crossing = y1 * x0 - y0 * x1
        crossing = tl.where(x0 > x1, crossing, -crossing)  # where x0 = x1 nothing is crossed
        below = below ^ (((x1 > 0) != (x0 > 0)) & (crossing > 0))
        above = above ^ (((x1 < 0) != (x0 < 0)) & (crossing < 0))
    return below | above | corner


@triton.jit
@typing.no_type_check
def _part_masks_forward_kernel(quads, masks, height, width, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    part = tl.program_id(0).to(tl.int64)  # counts over the whole batch
    row = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)[:, None]
    column = tl.program_id(2) * BLOCK_W + tl.arange(0, BLOCK_W)[None, :]
    left, top, right, bottom = quad_box(quads + part * 8)
    first_row, first_column = tl.program_id(1) * BLOCK_H, tl.program_id(2) * BLOCK_W
    meets = (left < first_column + BLOCK_W) & (right > first_column - 1)
    meets = meets & (top < first_row + BLOCK_H) & (bottom > first_row - 1)
    inside = (row + column) < 0
    if meets:
        inside = quad_covers(quads + part * 8, column.to(tl.float64) + 0.0 * row, row.to(tl.float64) + 0.0 * column)
    place = masks + part * height * width + row * width + column
    tl.store(place, inside.to(tl.uint8), mask=(row < height) & (column < width))


def forward(quads: Tensor, size: tuple[int, int]) -> Tensor:
    """Corners [b p 4 2] float64 -> bool [b p h w]."""
    (b, p), (h, w) = quads.shape[:2], size
    masks = torch.empty(b, p, h, w, dtype=torch.bool, device=quads.device)
    if masks.numel():
        _part_masks_forward_kernel[b * p, -(-h // BLOCK_H), -(-w // BLOCK_W)](
            quads.contiguous(), masks.view(torch.uint8), h, w, BLOCK_H=BLOCK_H, BLOCK_W=BLOCK_W, **OPTIONS
        )  # fmt: skip
    return masks
