"""Scores that look inside the person: structure, colour and texture of every region of the true parsing map.

A score over the whole picture goes to whoever copies the background, and one over a band round the skeleton counts the
black around it as agreement. These count the person's own pixels only. Pictures are uint8 RGB [b, h, w, 3]; a picture
in which a score has no meaning (no patterned clothes, no region large enough) scores NaN and is left out of means.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from spt_dist.body import CLOTHING_LABELS, FOREGROUND_LABELS, Label
from spt_dist.metrics import RANGE, SIGMA, WINDOW_PX, Metric, Scores
from spt_dist.types import ImageBytes, LabelBytes

REGION_PX = 6  # a region under this many px has no colour to compare
PATTERN_PX = 40  # cloth under this many px shows no pattern
PATTERN_STD = 8.0  # grey levels: cloth that varies less is plain
LUMA = (0.299, 0.587, 0.114)

Masks = Float[Tensor, "b r h w"]


def ssim_inside(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> Scores:
    """SSIM at each pixel, the mean over the person's pixels in the true parsing map."""
    inside = (labels != Label.BACKGROUND).float()[:, None]
    ours, truth = (pictured.permute(0, 3, 1, 2).float() for pictured in (images, references))
    result = structural_similarity_index_measure(
        ours, truth, sigma=SIGMA, kernel_size=WINDOW_PX, data_range=RANGE, reduction="none", return_full_image=True
    )
    assert isinstance(result, tuple)
    return (result[1] * inside).mean(1).sum((1, 2)) / inside[:, 0].sum((1, 2)).clamp(min=1)


def region_colour_error(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> Scores:
    """Difference of mean colours in grey levels, the mean over the regions of the true parsing map."""
    masks = _masks(labels, FOREGROUND_LABELS)
    areas = masks.sum((2, 3))
    seen = areas >= REGION_PX
    means = [
        torch.einsum("brhw,bhwc->brc", masks, pictured.float()) / areas.clamp(min=1)[..., None]
        for pictured in (images, references)
    ]
    difference = (means[0] - means[1]).abs().mean(2) * seen
    return _mean_of(difference, seen)


def texture_correlation(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> Scores:
    """Pearson correlation of brightness within each patterned garment, the mean over garments; a flat one scores 0."""
    ours, truth, patterned = _patterns(images, references, labels)
    product = (ours * truth).sum((2, 3)) / (_norm(ours) * _norm(truth)).clamp(min=1e-6)
    return _mean_of(product * patterned, patterned)


def texture_contrast(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> Scores:
    """Standard deviation of brightness within each patterned garment over the true one's, the mean over garments."""
    ours, truth, patterned = _patterns(images, references, labels)
    ratio = _norm(ours) / _norm(truth).clamp(min=1e-6)
    return _mean_of(ratio * patterned, patterned)


def _patterns(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> tuple[Masks, Masks, Tensor]:
    """Brightness of both pictures within each garment, its mean removed, and which garments are patterned."""
    masks = _masks(labels, CLOTHING_LABELS)
    areas = masks.sum((2, 3))
    weights = torch.tensor(LUMA)
    centred = []
    for pictured in (images, references):
        bright = (pictured.float() @ weights)[:, None]
        mean = (bright * masks).sum((2, 3)) / areas.clamp(min=1)
        centred.append((bright - mean[..., None, None]) * masks)
    deviation = _norm(centred[1]) / areas.clamp(min=1).sqrt()
    return centred[0], centred[1], (areas >= PATTERN_PX) & (deviation >= PATTERN_STD)


def _masks(labels: LabelBytes, wanted: tuple[Label, ...]) -> Masks:
    return torch.stack([labels == label for label in wanted], dim=1).float()


def _norm(values: Masks) -> Float[Tensor, "b r"]:
    return values.square().sum((2, 3)).sqrt()


def _mean_of(values: Tensor, counted: Tensor) -> Scores:
    """The mean over what counts in each sample, NaN where nothing does."""
    return values.sum(1) / counted.sum(1)


INSIDE = (
    Metric(
        "SSIM inside",
        "SSIM at each pixel (window as above), mean over the person's pixels in the true parsing map",
        "higher",
        lambda images, truth, labels, joints: ssim_inside(images, truth, labels),
    ),
    Metric(
        "region colour",
        f"mean colours of the true map's regions of {REGION_PX} px and more, mean absolute difference, 0..255",
        "lower",
        lambda images, truth, labels, joints: region_colour_error(images, truth, labels),
    ),
    Metric(
        "texture",
        f"correlation of brightness in garments of {PATTERN_PX} px and more whose true brightness deviates by "
        f"{PATTERN_STD:g} grey levels and more",
        "higher",
        lambda images, truth, labels, joints: texture_correlation(images, truth, labels),
    ),
    Metric(
        "contrast",
        "deviation of brightness in the same garments over the true one's: 1 is right",
        "near 1",
        lambda images, truth, labels, joints: texture_contrast(images, truth, labels),
    ),
)
