"""Scores of generated pictures, each with the definition that makes its number mean something.

Numbers of the field differ by definition more than by method, so every score carries its own in words. Pictures are
uint8 RGB [b, h, w, 3]. FID, IS and LPIPS need networks that nobody may download here: they take a TorchScript file by
path, and say which one is missing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from spt_dist.body import Label
from spt_dist.geometry import pose_mask
from spt_dist.scripted import BATCH, LPIPS, NONE, Hashes, Inception, distances, load_inception, load_script
from spt_dist.types import ImageBytes, Joints, LabelBytes

Scores = Float[Tensor, "b"]
SIGMA, WINDOW_PX, RANGE = 1.5, 11, 255.0


@dataclass(frozen=True)
class Metric:
    """A score per picture against its true target, and what the number means."""

    name: str
    definition: str
    better: str
    score: Callable[[ImageBytes, ImageBytes, LabelBytes, Joints], Scores]


def ssim(images: ImageBytes, references: ImageBytes) -> Scores:
    """Structural similarity per picture, the mean over its channels and pixels."""
    return _ssim(_channels_first(images), _channels_first(references))


def masked_ssim(images: ImageBytes, references: ImageBytes, target_joints: Joints) -> Scores:
    """SSIM after both pictures are multiplied by the pose mask of the target joints."""
    size = (images.shape[1], images.shape[2])
    mask = pose_mask(target_joints, size, mask_half_width_px(size))
    return _ssim(_channels_first(images) * mask, _channels_first(references) * mask)


def mask_half_width_px(size: tuple[int, int]) -> float:
    """Half-width of the pose mask's bands: the field's 4 px on pictures of 128 px and more, less on smaller ones."""
    return 4.0 * min(1.0, size[0] / 128)


def l1_inside(images: ImageBytes, references: ImageBytes, labels: LabelBytes) -> Scores:
    """Mean absolute difference, in grey levels, over the pixels that the true parsing map gives to the person."""
    inside = (labels != Label.BACKGROUND).float()
    difference = (images.float() - references.float()).abs().mean(-1) * inside
    return difference.sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def mean_iou(predicted: LabelBytes, labels: LabelBytes) -> float:
    """Intersection over union of two sets of parsing maps, the mean over the labels that occur in either."""
    return label_iou(predicted, labels).nanmean().item()


def label_iou(predicted: LabelBytes, labels: LabelBytes) -> Float[Tensor, "10"]:
    """Intersection over union of two sets of parsing maps by label; NaN for one that occurs in neither."""
    joint = torch.bincount((predicted.long() * len(Label) + labels.long()).flatten(), minlength=len(Label) ** 2)
    table = joint.unflatten(0, (len(Label), len(Label))).float()
    return table.diagonal() / (table.sum(0) + table.sum(1) - table.diagonal())


def _channels_first(images: ImageBytes) -> Float[Tensor, "b 3 h w"]:
    return images.permute(0, 3, 1, 2).float()


def _ssim(images: Tensor, references: Tensor) -> Tensor:
    scores = structural_similarity_index_measure(
        images, references, sigma=SIGMA, kernel_size=WINDOW_PX, data_range=RANGE, reduction="none"
    )
    assert isinstance(scores, Tensor)
    return scores.reshape(-1)


PAIRED = (
    Metric(
        "SSIM",
        f"torchmetrics, RGB 0..255, Gaussian window sigma {SIGMA}, {WINDOW_PX} px",
        "higher",
        lambda images, truth, labels, joints: ssim(images, truth),
    ),
    Metric(
        "masked SSIM",
        "SSIM of both pictures times the target's pose mask: 23 limbs, half-width 4 px (below 128 px: h / 32)",
        "higher",
        lambda images, truth, labels, joints: masked_ssim(images, truth, joints),
    ),
    Metric(
        "L1 inside",
        "mean absolute difference, 0..255, over the person's pixels in the true parsing map",
        "lower",
        lambda images, truth, labels, joints: l1_inside(images, truth, labels),
    ),
)


def frechet_distance(generated: ImageBytes, real: ImageBytes, inception: str, sha256: Hashes = NONE) -> float:
    """FID between two sets of pictures in the features of a TorchScript file; `MissingNetworkError` without one."""
    network, _ = load_inception(inception, "FID", Inception.FEATURES, sha256)
    metric = FrechetInceptionDistance(feature=network)
    for pictured, are_real in ((real, True), (generated, False)):
        for batch in pictured.permute(0, 3, 1, 2).split(BATCH):
            metric.update(batch, real=are_real)
    return metric.compute().item()


def inception_score(images: ImageBytes, inception: str, sha256: Hashes = NONE) -> float:
    """IS of one set of pictures, logits from a TorchScript file; `MissingNetworkError` without one that gives them."""
    network, _ = load_inception(inception, "IS", Inception.LOGITS, sha256)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `InceptionScore` will save all extracted features")
        metric = InceptionScore(feature=network, splits=1)
    for batch in images.permute(0, 3, 1, 2).split(BATCH):
        metric.update(batch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="std\\(\\): degrees of freedom")  # of one split: we take the mean
        return metric.compute()[0].item()


def lpips(images: ImageBytes, references: ImageBytes, network: str, sha256: Hashes = NONE) -> Scores:
    """Perceptual distance per picture by a TorchScript file; `MissingNetworkError` without one."""
    module, _ = load_script(network, LPIPS, "LPIPS", sha256)
    return distances(module, *(_channels_first(pictured) / 127.5 - 1 for pictured in (images, references)))
