"""The definition in the steps that the doors call: for float64, on any device."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spt_kernels.semantic_gram import reference


class Regions(NamedTuple):
    """Where every region is, as each form keeps it; per region [b r] the sum of squared weights and the peak."""

    lists: tuple[Tensor, ...]
    areas: Tensor
    peaks: Tensor


def find(source: Tensor, regions: Sequence[int], size: tuple[int, int]) -> Regions:
    """The masks of regions in labels [b H W] uint8, or masks [b r h w] as they are."""
    labelled = source.dtype == torch.uint8
    masks = reference.region_masks(source, regions, size, torch.float64) if labelled else source
    return Regions((masks,), masks.square().sum((2, 3)), masks.amax((2, 3)))


def forward(features: Tensor, source: Tensor, regions: Sequence[int], found: Regions, grams: Tensor) -> None:
    """Write the Gram matrices [b r c c]."""
    grams.copy_(reference.semantic_gram_soft(features, *found.lists))


def backward(pulls: Tensor, features: Tensor, source: Tensor, regions: Sequence[int], result: Tensor) -> None:
    """Write the gradient of the features from `D + D^T` of every Gram matrix."""
    h, w = features.shape[2:]
    found = find(source, regions, (h, w))
    result.copy_(reference.semantic_gram_backward(pulls, features, *found.lists))


def compare(grams: Tensor, found_a: Regions, found_b: Regions, pixels: int, by_area: bool) -> Tensor:
    """The style loss of Gram matrices [3 b r c c] of B^, A and A^, which become their pulls."""
    weight_a = weight_b = (found_a.peaks * found_b.peaks)[..., None, None]
    if by_area:
        weight_a = weight_a * pixels / found_a.areas.clamp(min=1)[..., None, None]
        weight_b = weight_b * pixels / found_b.areas.clamp(min=1)[..., None, None]
    fake_b, real_a, fake_a = grams
    style_b = weight_b * fake_b
    from_real, from_fake = style_b - weight_a * real_a, weight_a * fake_a - style_b
    loss = (from_real.square().sum() + from_fake.square().sum()) / style_b.numel()
    scale = 4 / style_b.numel()
    torch.mul(from_real - from_fake, scale * weight_b, out=fake_b)
    torch.mul(from_real, -scale * weight_a, out=real_a)
    torch.mul(from_fake, scale * weight_a, out=fake_a)
    return loss
