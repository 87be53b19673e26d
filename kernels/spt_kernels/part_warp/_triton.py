"""`part_warp` as Triton tiles. Feature strides are free; values, winners and gradients share the features' layout.

Masks are asked of the quadrilaterals in the kernel, and a tile outside a part's box skips the part. Positions follow
the reference's order of float32 arithmetic, so the launchers switch fused multiply-adds off.
"""

import typing

import torch
import triton
import triton.language as tl
from torch import Tensor

from spt_kernels.part_masks._triton import quad_box, quad_covers
from spt_kernels.part_warp.reference import axes

# px and channels of a program; no larger ones fit into the registers of every target
TARGET_H, TARGET_W, TARGET_C = 8, 16, 32  # the forward's target tiles
SOURCE_H, SOURCE_W, SOURCE_C = 8, 16, 32  # the backward's source tiles
BLOCK = 8  # the target blocks that it walks over
OPTIONS: typing.Any = {"num_warps": 8, "enable_fp_fusion": False}
NEARLY_SINGULAR = 1e-3  # determinant against the sizes of its terms


@triton.jit
@typing.no_type_check
def _source(ndc, axes, x, y, height, width):
    """Where one map samples for pixels x, y: the first tap's column and row, and the fractions beyond it; float32.

    `axes` holds the sampler's coordinate of every row, then of every column.
    """
    at_y = tl.load(axes + y, mask=y < height, other=0.0)
    at_x = tl.load(axes + height + x, mask=x < width, other=0.0)
    source_x = (tl.load(ndc) * at_x + tl.load(ndc + 1) * at_y + tl.load(ndc + 2) + 1) * ((width - 1) / 2.0)
    source_y = (tl.load(ndc + 3) * at_x + tl.load(ndc + 4) * at_y + tl.load(ndc + 5) + 1) * ((height - 1) / 2.0)
    first_x, first_y = tl.floor(source_x), tl.floor(source_y)
    return first_x, first_y, source_x - first_x, source_y - first_y


@triton.jit
@typing.no_type_check
def _resized(n, length, image_length):
    """The two image rows (or columns) that row n of the features lies between, and the second one's share."""
    scale = tl.cast(image_length, tl.float32) / tl.cast(length, tl.float32)  # a length of 1 is compiled as a constant
    place = tl.maximum((n.to(tl.float32) + 0.5) * scale - 0.5, 0.0)
    first = tl.minimum(place.to(tl.int32), image_length - 1)
    share = tl.minimum(tl.maximum(place - first.to(tl.float32), 0.0), 1.0)
    return first, tl.minimum(first + 1, image_length - 1), share


@triton.jit
@typing.no_type_check
def _mask(quad, x, y, height, width, image_h, image_w, taps):
    """The part's mask at feature pixels x, y: that of the picture, resized bilinearly; float32."""
    left, right, across = _resized(x, width, image_w)
    top, bottom, down = _resized(y, height, image_h)
    mask = tl.zeros(x.shape, tl.float32)
    for tap in range(taps):
        column, row = tl.where(tap % 2 == 0, left, right), tl.where(tap // 2 == 0, top, bottom)
        weight = tl.where(tap % 2 == 0, 1 - across, across) * tl.where(tap // 2 == 0, 1 - down, down)
        mask += tl.where(quad_covers(quad, column.to(tl.float64), row.to(tl.float64)), weight, 0.0)
    return mask


@triton.jit
@typing.no_type_check
def _feature_box(quad, height, width, image_h, image_w):
    """The box of feature pixels that a quadrilateral may reach by resizing; NaN where a corner is NaN."""
    left, top, right, bottom = quad_box(quad)
    scale_x, scale_y = tl.cast(width, tl.float64) / image_w, tl.cast(height, tl.float64) / image_h
    spare_x, spare_y = 1.5 * scale_x + 1, 1.5 * scale_y + 1
    return left * scale_x - spare_x, top * scale_y - spare_y, right * scale_x + spare_x, bottom * scale_y + spare_y


@triton.jit
@typing.no_type_check
def _tap(first_x, first_y, fraction_x, fraction_y, height, width, DX: tl.constexpr, DY: tl.constexpr):
    """Tap (DX, DY) of four: its column, its row, its bilinear weight, and whether it lies on the map; all [N]."""
    x, y = first_x + DX, first_y + DY
    weight = (fraction_x if DX else 1 - fraction_x) * (fraction_y if DY else 1 - fraction_y)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return tl.where(inside, x, 0.0).to(tl.int32), tl.where(inside, y, 0.0).to(tl.int32), weight, inside


@triton.jit(do_not_specialize=["taps"])
@typing.no_type_check
def _part_warp_forward_kernel(
    features, ndc, axes, quads, values, winners, parts, channels, height, width, image_h, image_w,
    stride_b, stride_c, stride_y, stride_x, out_b, out_c, out_y, out_x,
    taps, TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(width, TILE_W)
    tile_x, tile_y = tl.program_id(0) % tiles * TILE_W, tl.program_id(0) // tiles * TILE_H
    n = tl.arange(0, TILE_H * TILE_W)
    x, y = tile_x + n % TILE_W, tile_y + n // TILE_W
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    batch = tl.program_id(2).to(tl.int64)
    here = (x < width) & (y < height)
    place = features + batch * stride_b + c * stride_c
    best = tl.full((TILE_H * TILE_W, BLOCK_C), -float("inf"), tl.float32)
    winner = tl.zeros((TILE_H * TILE_W, BLOCK_C), tl.int32)
    first_out = tl.full((TILE_H * TILE_W,), 255, tl.int32)  # the first part that is masked out: its zero takes part
    for p in range(parts):
        quad, part = quads + (batch * parts + p) * 8, ndc + (batch * parts + p) * 6
        left, top, right, bottom = _feature_box(quad, height, width, image_h, image_w)
        mask = tl.zeros((TILE_H * TILE_W,), tl.float32)
        if (left < tile_x + TILE_W) & (right >= tile_x) & (top < tile_y + TILE_H) & (bottom >= tile_y):
            mask = tl.where(here, _mask(quad, x, y, height, width, image_h, image_w, taps), 0.0)
            if tl.max(mask, axis=0) > 0:
                first_x, first_y, fraction_x, fraction_y = _source(part, axes, x, y, height, width)
                value = tl.zeros((TILE_H * TILE_W, BLOCK_C), tl.float32)
                for tap in tl.static_range(4):
                    tap_x, tap_y, weight, inside = _tap(
                        first_x, first_y, fraction_x, fraction_y, height, width, tap % 2, tap // 2
                    )
                    live = (inside & (mask > 0))[:, None] & (c < channels)
                    source = place + (tap_y * stride_y + tap_x * stride_x)[:, None]
                    value += weight[:, None] * tl.load(source, mask=live, other=0.0).to(tl.float32)
                value *= mask[:, None]
                better = ((value > best) | (value != value)) & (mask > 0)[:, None]  # a NaN stays seen
                best = tl.where(better, value, best)
                winner = tl.where(better, p, winner)
        first_out = tl.where((mask == 0) & (first_out == 255), p, first_out)
    out = first_out[:, None]
    zero = (out < 255) & ((best < 0) | ((best == 0) & (out < winner)))
    target = batch * out_b + c * out_c + (y * out_y + x * out_x)[:, None]
    inside = here[:, None] & (c < channels)
    tl.store(values + target, tl.where(zero, 0.0, best), mask=inside)
    tl.store(winners + target, tl.where(zero, out, winner).to(tl.uint8), mask=inside)


@triton.jit
@typing.no_type_check
def _target_box(ndc, quad, tile_x, tile_y, height, width, image_h, image_w, SINGULAR, H: tl.constexpr, W: tl.constexpr):
    """Targets that may sample a source tile: left, top, right, bottom in px, ends included, never too small.

    The map's inverse carries the tile and the pixel round it to a parallelogram; its box is cut to the part's own.
    """
    half_w, half_h = (width - 1) / 2.0, (height - 1) / 2.0
    per_x, per_y = 1 / tl.maximum(half_w, 0.5), 1 / tl.maximum(half_h, 0.5)  # a single row or column is singular
    a, b, c = tl.load(ndc) * half_w * per_x, tl.load(ndc + 1) * half_w * per_y, (tl.load(ndc + 2) + 1) * half_w
    d, e, f = tl.load(ndc + 3) * half_h * per_x, tl.load(ndc + 4) * half_h * per_y, (tl.load(ndc + 5) + 1) * half_h
    c, f = c - (a * half_w + b * half_h), f - (d * half_w + e * half_h)  # now x' = a x + b y + c in px
    from_x, from_y = tile_x + (W - 1) / 2.0 - c, tile_y + (H - 1) / 2.0 - f
    reach_x, reach_y = (W + 1) / 2.0 + 0.05, (H + 1) / 2.0 + 0.05
    terms = tl.abs(a * e) + tl.abs(b * d)
    singular = ~(tl.abs(a * e - b * d) > SINGULAR * terms)
    det = tl.where(singular, 1.0, a * e - b * d)
    rounding = 1e-5
    spread_x = tl.abs(e) * (reach_x + rounding * tl.abs(from_x)) + tl.abs(b) * (reach_y + rounding * tl.abs(from_y))
    spread_y = tl.abs(d) * (reach_x + rounding * tl.abs(from_x)) + tl.abs(a) * (reach_y + rounding * tl.abs(from_y))
    x, y = (e * from_x - b * from_y) / det, (a * from_y - d * from_x) / det
    spread_x = tl.where(singular, float("inf"), spread_x / tl.abs(det) + 1)
    spread_y = tl.where(singular, float("inf"), spread_y / tl.abs(det) + 1)
    left, top, right, bottom = _feature_box(quad, height, width, image_h, image_w)
    known = left == left
    left, top = tl.maximum(tl.maximum(x - spread_x, left), 0.0), tl.maximum(tl.maximum(y - spread_y, top), 0.0)
    right, bottom = tl.minimum(tl.minimum(x + spread_x, right), width - 1.0), tl.minimum(y + spread_y, bottom)
    bottom = tl.minimum(bottom, height - 1.0)
    known = known & (left <= right) & (top <= bottom)
    left, top = tl.where(known, tl.floor(left), 0.0), tl.where(known, tl.floor(top), 0.0)
    right, bottom = tl.where(known, tl.ceil(right), -1.0), tl.where(known, tl.ceil(bottom), -1.0)
    return left.to(tl.int32), top.to(tl.int32), right.to(tl.int32), bottom.to(tl.int32)


@triton.jit
@typing.no_type_check
def _hat(source, first, fraction):
    """The weight that a sample between `first` and the pixel after it gives to a source pixel: [S T]."""
    return tl.where(source == first, 1 - fraction, 0.0) + tl.where(source == first + 1, fraction, 0.0)


@triton.jit(do_not_specialize=["taps"])
@typing.no_type_check
def _part_warp_backward_kernel(
    grads, winners, ndc, axes, quads, result, parts, channels, height, width, image_h, image_w,
    stride_c, stride_n, taps, SINGULAR: tl.constexpr, TILE: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, BLOCK_C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(width, TILE_W)
    tile_x, tile_y = tl.program_id(0) % tiles * TILE_W, tl.program_id(0) // tiles * TILE_H
    s, t = tl.arange(0, TILE_H * TILE_W), tl.arange(0, TILE * TILE)
    x, y = (tile_x + s % TILE_W)[:, None], (tile_y + s // TILE_W)[:, None]  # [S 1]
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    batch = tl.program_id(2).to(tl.int64)
    start = batch * channels * height * width
    total = tl.zeros((TILE_H * TILE_W, BLOCK_C), tl.float32)
    for p in range(parts):
        quad, part = quads + (batch * parts + p) * 8, ndc + (batch * parts + p) * 6
        left, top, right, bottom = _target_box(
            part, quad, tile_x, tile_y, height, width, image_h, image_w, SINGULAR, TILE_H, TILE_W
        )
        across = (right - left + TILE) // TILE
        for block in range(across * ((bottom - top + TILE) // TILE)):
            target_x, target_y = left + block % across * TILE + t % TILE, top + block // across * TILE + t // TILE
            first_x, first_y, fraction_x, fraction_y = _source(part, axes, target_x, target_y, height, width)
            hit = (target_x <= right) & (target_y <= bottom) & (first_x >= tile_x - 1) & (first_x < tile_x + TILE_W)
            hit = hit & (first_y >= tile_y - 1) & (first_y < tile_y + TILE_H)
            if tl.max(hit.to(tl.int32), axis=0) > 0:
                mask = _mask(quad, target_x, target_y, height, width, image_h, image_w, taps)
                live = (hit & (mask > 0))[:, None] & (c < channels)
                place = start + c * stride_c + ((target_y * width + target_x) * stride_n)[:, None]
                won = tl.load(winners + place, mask=live, other=255).to(tl.int32) == p
                grad = tl.load(grads + place, mask=live, other=0.0).to(tl.float32)  # [T C]
                grad = tl.where(won, grad, 0.0)  # a mask that differs by channel would load them one by one
                weight = _hat(x.to(tl.float32), first_x[None, :], fraction_x[None, :])
                weight *= _hat(y.to(tl.float32), first_y[None, :], fraction_y[None, :]) * mask[None, :]  # [S T]
                total = tl.dot(weight, grad, total, input_precision=PRECISION)
    place = result + start + c * stride_c + (y * width + x) * stride_n
    tl.store(place, total, mask=(x < width) & (y < height) & (c < channels))


def forward(features: Tensor, ndc: Tensor, quads: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Values, in the features' type, and winning parts, uint8, both [b c h w]; channels-last where the features are."""
    (b, c, h, w), p, (image_h, image_w) = features.shape, ndc.shape[1], image_size
    values = torch.empty_like(features, memory_format=_layout(features))
    winners = torch.empty_like(values, dtype=torch.uint8)
    if values.numel():
        _part_warp_forward_kernel[-(-h // TARGET_H) * -(-w // TARGET_W), -(-c // TARGET_C), b](
            features, ndc.contiguous(), _axes(values), quads.contiguous(), values, winners,
            p, c, h, w, image_h, image_w, *features.stride(), *values.stride(),
            taps=_taps(values, image_size), TILE_H=TARGET_H, TILE_W=TARGET_W, BLOCK_C=TARGET_C, **OPTIONS,
        )  # fmt: skip
    return values, winners


def backward(grad: Tensor, winners: Tensor, ndc: Tensor, quads: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Gradient of the features, in the gradient's type and the winners' layout."""
    (b, c, h, w), p, (image_h, image_w) = grad.shape, ndc.shape[1], image_size
    layout = _layout(winners)
    grad = grad.contiguous(memory_format=layout)
    result = torch.empty_like(grad, memory_format=layout)
    stride_c, stride_n = (1, c) if layout == torch.channels_last else (h * w, 1)
    if result.numel():
        _part_warp_backward_kernel[-(-h // SOURCE_H) * -(-w // SOURCE_W), -(-c // SOURCE_C), b](
            grad, winners, ndc.contiguous(), _axes(grad), quads.contiguous(), result, p, c, h, w, image_h, image_w,
            stride_c, stride_n, taps=_taps(grad, image_size), SINGULAR=NEARLY_SINGULAR, TILE=BLOCK, TILE_H=SOURCE_H,
            TILE_W=SOURCE_W, BLOCK_C=SOURCE_C, PRECISION=_precision(grad.dtype), **_unspilled(),
        )  # fmt: skip
    return result


def _unspilled() -> dict[str, typing.Any]:
    """All registers on NVIDIA: the assembler else spills a few, for two programs to share a multiprocessor."""
    return OPTIONS if torch.version.hip else OPTIONS | {"maxnreg": 255}


def _axes(features: Tensor) -> Tensor:
    """The sampler's coordinates of the rows and of the columns, float32 [h + w]."""
    return torch.cat(axes((features.shape[2], features.shape[3]), like=features.new_empty(0, dtype=torch.float32)))


def _layout(features: Tensor) -> torch.memory_format:
    last = features.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _taps(features: Tensor, image_size: tuple[int, int]) -> int:
    """Image pixels that a feature pixel's mask is made of."""
    return 1 if tuple(features.shape[2:]) == tuple(image_size) else 4


def _precision(dtype: torch.dtype) -> str:
    """Matrix units take tf32 on NVIDIA: half types fit into it, float32 is split into three."""
    if torch.version.hip:
        return "ieee"
    return "tf32x3" if dtype == torch.float32 else "tf32"
