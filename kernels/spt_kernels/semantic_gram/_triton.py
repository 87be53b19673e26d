"""The semantic Gram matrices and the style loss as Triton tiles.

`source` is either a label map (`FACTOR` is then its size over the features', and `REGIONS` the labels that count) or
soft masks [b r h w] (`FACTOR` 0). Features have free strides; everything else is contiguous. Regions are walked over by
lists of the 4x4 tiles that they touch, so what lies in no region is never loaded.
"""

import typing
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

from spt_kernels.semantic_gram.dense import Regions

PIXELS = 32  # of a forward step: the inner length of its products
TILES = 128  # searched at once
SHARE = 64  # tiles a program multiplies: 1,024 pixels
ELEMENTS = 4096  # of Gram matrices, compared at once


@triton.jit
@typing.no_type_check
def _weights(source, batch, region, y, x, exists, h, w, REGIONS: tl.constexpr, FACTOR: tl.constexpr):
    """How much of every pixel lies in the region: 0 where the pixel does not exist."""
    if FACTOR == 0:
        place = (batch * len(REGIONS) + region) * h * w + y * w + x
        return tl.load(source + place, mask=exists, other=0.0).to(tl.float32)
    wanted = 0
    for i in tl.static_range(len(REGIONS)):
        wanted = tl.where(region == i, REGIONS[i], wanted)
    count = tl.zeros(exists.shape, tl.int32)
    corner = batch * h * w * (FACTOR * FACTOR) + y * FACTOR * (w * FACTOR) + x * FACTOR
    for i in tl.static_range(FACTOR * FACTOR):
        label = tl.load(source + corner + i // FACTOR * (w * FACTOR) + i % FACTOR, mask=exists, other=0)
        count += (exists & (label.to(tl.int32) == wanted)).to(tl.int32)
    return count.to(tl.float32) / (FACTOR * FACTOR)


@triton.jit
@typing.no_type_check
def _semantic_gram_tiles_kernel(
    source, tiles, counts, areas, peaks, h, w,
    REGIONS: tl.constexpr, FACTOR: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    owner = tl.program_id(0).to(tl.int64)  # region of the whole batch
    batch, region = owner // len(REGIONS), owner % len(REGIONS)
    across = tl.cdiv(w, 4)
    total = across * tl.cdiv(h, 4)
    pixel = tl.arange(0, 16)[None, :]
    area, peak = tl.zeros((TILES,), tl.float32), tl.zeros((TILES,), tl.float32)
    found = 0
    for start in range(0, total, TILES):
        tile = start + tl.arange(0, TILES)
        y, x = (tile // across * 4)[:, None] + pixel // 4, (tile % across * 4)[:, None] + pixel % 4
        exists = (tile < total)[:, None] & (y < h) & (x < w)
        weight = _weights(source, batch, region, y, x, exists, h, w, REGIONS, FACTOR)  # [T 16]
        here = (tl.max(tl.abs(weight), axis=1) > 0).to(tl.int32)
        tl.store(tiles + owner * total + found + tl.cumsum(here, axis=0) - here, tile, mask=here > 0)
        found += tl.sum(here, axis=0)
        area += tl.sum(weight * weight, axis=1)
        peak = tl.maximum(peak, tl.max(weight, axis=1))
    tl.store(counts + owner, found)
    tl.store(areas + owner, tl.sum(area, axis=0))
    tl.store(peaks + owner, tl.max(peak, axis=0))


@triton.jit
@typing.no_type_check
def _weighted(features, channel, place, weight, channels, stride_c, OPERAND: tl.constexpr):
    """Features times weights [N C]; only those with a weight are loaded."""
    inside = (weight != 0)[:, None] & (channel < channels)[None, :]
    value = tl.load(features + place[:, None] + channel[None, :] * stride_c, mask=inside, other=0.0)
    return (value.to(tl.float32) * weight[:, None]).to(OPERAND)


@triton.jit
@typing.no_type_check
def _semantic_gram_forward_kernel(
    features, source, tiles, counts, turns, grams, channels, h, w, stride_b, stride_c, stride_h, stride_w,
    REGIONS: tl.constexpr, FACTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCKS: tl.constexpr, SHARE: tl.constexpr,
    PIXELS: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    owner, share = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, column = tl.program_id(2) // BLOCKS, tl.program_id(2) % BLOCKS
    count = tl.load(counts + owner)
    start, end = share * SHARE, tl.minimum(share * SHARE + SHARE, count)
    if (row > column) | ((share > 0) & (start >= count)):
        return
    batch, region = owner // len(REGIONS), owner % len(REGIONS)
    i, j = row * BLOCK_C + tl.arange(0, BLOCK_C), column * BLOCK_C + tl.arange(0, BLOCK_C)
    across = tl.cdiv(w, 4)
    tiles += owner * across * tl.cdiv(h, 4)
    features += batch * stride_b
    n = tl.arange(0, PIXELS)
    gram = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    for first in range(start, end, PIXELS // 16):
        slot = first + n // 16
        tile = tl.load(tiles + slot, mask=slot < end, other=0)
        y, x = tile // across * 4 + n % 16 // 4, tile % across * 4 + n % 4
        exists = (slot < end) & (y < h) & (x < w)
        weight = _weights(source, batch, region, y, x, exists, h, w, REGIONS, FACTOR)
        place = y * stride_h + x * stride_w
        right = _weighted(features, j, place, weight, channels, stride_c, OPERAND)
        left = right
        if BLOCKS > 1:
            left = _weighted(features, i, place, weight, channels, stride_c, OPERAND)
        gram = tl.dot(tl.trans(left), right, gram, input_precision=PRECISION)
    gram /= tl.cast(h * w, tl.float32)
    inside = (i < channels)[:, None] & (j < channels)[None, :]
    grams += owner * channels * channels
    upper = grams + i[:, None] * channels + j[None, :]
    turn = turns + owner * BLOCKS * BLOCKS + tl.program_id(2)
    if share > 0:  # lower shares started earlier, so none waits for a program that cannot start
        while tl.atomic_add(turn, 0, sem="acquire") < share:
            pass
        gram += tl.load(upper, mask=inside, cache_modifier=".cg")
    tl.store(upper, gram, mask=inside)
    if row < column:
        tl.store(grams + i[:, None] + j[None, :] * channels, gram, mask=inside)
    if end < count:
        tl.debug_barrier()  # all of the program's stores come before the next one's turn
        tl.atomic_xchg(turn, share + 1, sem="release")


@triton.jit
@typing.no_type_check
def _semantic_gram_backward_kernel(
    pulls, features, source, result, channels, h, w, stride_b, stride_c, stride_h, stride_w,
    out_b, out_c, out_h, out_w,
    REGIONS: tl.constexpr, FACTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(2).to(tl.int64)
    j = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    n, across = tl.arange(0, 64), tl.cdiv(w, 8)  # a tile is 8x8 pixels
    y = tl.program_id(0) // across * 8 + n // 8
    x = tl.program_id(0) % across * 8 + n % 8
    exists = (y < h) & (x < w)
    features += batch * stride_b
    total = tl.zeros((64, BLOCK_C), tl.float32)
    for region in range(len(REGIONS)):
        weight = _weights(source, batch, region, y, x, exists, h, w, REGIONS, FACTOR)
        if tl.max(tl.abs(weight), axis=0) > 0:
            pull = pulls + (batch * len(REGIONS) + region) * channels * channels
            for start in range(0, channels, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                place = y * stride_h + x * stride_w
                left = _weighted(features, k, place, weight, channels, stride_c, tl.float32) * weight[:, None]
                inside = (j < channels)[:, None] & (k < channels)[None, :]
                right = tl.load(pull + j[:, None] * channels + k[None, :], mask=inside, other=0.0)  # symmetric: [C K]
                total = tl.dot(left, tl.trans(right), total, input_precision=PRECISION)
    total /= tl.cast(h * w, tl.float32)
    place = batch * out_b + (y * out_h + x * out_w)[:, None] + (j * out_c)[None, :]
    tl.store(result + place, total, mask=exists[:, None] & (j < channels)[None, :])


@triton.jit
@typing.no_type_check
def _semantic_style_kernel(
    grams, areas_a, areas_b, peaks_a, peaks_b, sums, elements, pixels, BY_AREA: tl.constexpr, ELEMENTS: tl.constexpr
):
    """Squared differences summed, and every Gram matrix replaced by its pull, that is, D + D^T."""
    owner, owners = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    n = tl.program_id(1) * ELEMENTS + tl.arange(0, ELEMENTS)
    weight_a = tl.load(peaks_a + owner) * tl.load(peaks_b + owner)
    weight_b = weight_a
    if BY_AREA:
        weight_a *= pixels / tl.maximum(tl.load(areas_a + owner), 1.0)
        weight_b *= pixels / tl.maximum(tl.load(areas_b + owner), 1.0)
    seen = n < tl.where(weight_a > 0, elements, 0)  # what only one picture shows has no say
    fake_b = grams + owner * elements + n
    real_a, fake_a = fake_b + owners * elements, fake_b + 2 * owners * elements
    style_b = weight_b * tl.load(fake_b, mask=seen, other=0.0)
    from_real = style_b - weight_a * tl.load(real_a, mask=seen, other=0.0)
    from_fake = weight_a * tl.load(fake_a, mask=seen, other=0.0) - style_b
    square = tl.sum(from_real * from_real + from_fake * from_fake)
    tl.store(sums + owner * tl.num_programs(1) + tl.program_id(1), square)
    scale = 4.0 / (owners * elements)
    tl.store(fake_b, scale * weight_b * (from_real - from_fake), mask=n < elements)
    tl.store(real_a, -scale * weight_a * from_real, mask=n < elements)
    tl.store(fake_a, scale * weight_a * from_fake, mask=n < elements)


def find(source: Tensor, regions: Sequence[int], size: tuple[int, int]) -> Regions:
    """The tiles of regions in labels [b H W] uint8, or in masks [b r h w] float32, and their number [b r]."""
    (h, w), owners = size, (source.shape[0], len(regions))
    total = -(-h // 4) * -(-w // 4)
    tiles = torch.empty(*owners, total, dtype=torch.int32, device=source.device)
    counts = torch.empty(owners, dtype=torch.int32, device=source.device)
    areas, peaks = (torch.empty(owners, dtype=torch.float32, device=source.device) for _ in range(2))
    blocks = {"TILES": min(TILES, _power_of_2(total)), "num_warps": 8}
    if counts.numel():
        _semantic_gram_tiles_kernel[counts.numel(),](
            source, tiles, counts, areas, peaks, h, w, **_constants(source, regions, h), **blocks
        )
    return Regions((tiles, counts), areas, peaks)


def forward(features: Tensor, source: Tensor, regions: Sequence[int], found: Regions, grams: Tensor) -> None:
    """Write the Gram matrices [b r c c] float32."""
    b, c, h, w = features.shape
    block = _channel_block(c, 64)
    squares = (-(-c // block)) ** 2
    tiles, counts = found.lists
    owners, shares = b * len(regions), -(-tiles.shape[2] // SHARE)
    turns = torch.zeros(owners, squares, dtype=torch.int32, device=features.device)
    products = {"OPERAND": _operand(features.dtype), "PRECISION": _precision("tf32x3")}
    blocks = {"BLOCK_C": block, "BLOCKS": -(-c // block), "SHARE": SHARE, "PIXELS": PIXELS, "num_stages": 2}
    if grams.numel():
        _semantic_gram_forward_kernel[owners, shares, squares](
            features, source, tiles, counts, turns, grams, c, h, w, *features.stride(),
            **_constants(source, regions, h), **products, **blocks,
        )  # fmt: skip


def backward(pulls: Tensor, features: Tensor, source: Tensor, regions: Sequence[int], result: Tensor) -> None:
    """Write the gradient of the features from `D + D^T` of every Gram matrix, contiguous float32."""
    b, c, h, w = features.shape
    block, wide = _channel_block(c, 128), features.dtype == torch.float32
    precise = _precision("tf32x3" if wide else "tf32")  # float16 has no room for small gradients: tf32 has
    blocks = {"BLOCK_C": block, "BLOCK_K": 16 if wide else min(32, block), "PRECISION": precise}
    options = {"num_warps": 8 if block == 128 else 4, "num_stages": 2}
    if result.numel():
        _semantic_gram_backward_kernel[-(-h // 8) * -(-w // 8), -(-c // block), b](
            pulls, features, source, result, c, h, w, *features.stride(), *result.stride(),
            **_constants(source, regions, h), **blocks, **options,
        )  # fmt: skip


def compare(grams: Tensor, found_a: Regions, found_b: Regions, pixels: int, by_area: bool) -> Tensor:
    """The style loss of Gram matrices [3 b r c c] of B^, A and A^, which become their pulls."""
    owners, elements = found_a.areas.numel(), grams.shape[3] * grams.shape[4]
    sums = torch.empty(owners, -(-elements // ELEMENTS), dtype=torch.float32, device=grams.device)
    _semantic_style_kernel[sums.shape](
        grams, found_a.areas, found_b.areas, found_a.peaks, found_b.peaks, sums, elements, pixels,
        BY_AREA=by_area, ELEMENTS=min(ELEMENTS, _power_of_2(elements)),
    )  # fmt: skip
    return sums.sum() / (owners * elements)


def _constants(source: Tensor, regions: Sequence[int], height: int) -> dict:
    factor = source.shape[1] // height if source.dtype == torch.uint8 else 0
    return {"REGIONS": tuple(regions), "FACTOR": factor}


def _channel_block(channels: int, largest: int) -> int:
    """A tensor-core tile: 16 channels at least."""
    return min(largest, max(16, _power_of_2(channels)))


def _operand(dtype: torch.dtype) -> tl.dtype:
    """The type that products are taken in; the interpreter has no bfloat16."""
    if dtype == torch.bfloat16 and knobs.runtime.interpret:
        return tl.float32
    return {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}[dtype]


def _precision(nvidia: str) -> str:
    """How float32 is multiplied: AMD's matrix cores take it as it is."""
    return "ieee" if torch.version.hip else nvidia


def _power_of_2(length: int) -> int:
    """The next one."""
    return 1 << max(length - 1, 0).bit_length()
