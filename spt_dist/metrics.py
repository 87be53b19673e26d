"""Scores of generated pictures, each with the definition that makes its number mean something.

Numbers of the field differ by definition more than by method, so every score carries its own in words. Pictures are
uint8 RGB [b, h, w, 3]. FID, IS and LPIPS need networks that nobody may download here: they take a TorchScript file by
path, and say which one is missing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from spt_dist.body import Label
from spt_dist.geometry import pose_mask
from spt_dist.types import ImageBytes, Joints, LabelBytes

Scores = Float[Tensor, "b"]
SIGMA, WINDOW_PX, RANGE = 1.5, 11, 255.0
BATCH = 16  # pictures that go through a scripted network at once


class MissingNetworkError(ValueError):
    """A metric's network is not at the given path; the message says how to get it."""


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
    joint = torch.bincount((predicted.long() * len(Label) + labels.long()).flatten(), minlength=len(Label) ** 2)
    table = joint.unflatten(0, (len(Label), len(Label))).float()
    union = table.sum(0) + table.sum(1) - table.diagonal()
    return (table.diagonal()[union > 0] / union[union > 0]).mean().item()


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


def frechet_distance(generated: ImageBytes, real: ImageBytes, inception: str) -> float:
    """FID between two sets of pictures in the features of a TorchScript file; `MissingNetworkError` without one."""
    network = _Inception(_script(inception, "evaluation.inception", "FID"), _Inception.FEATURES)
    metric = FrechetInceptionDistance(feature=network)
    for pictured, are_real in ((real, True), (generated, False)):
        for batch in pictured.permute(0, 3, 1, 2).split(BATCH):
            metric.update(batch, real=are_real)
    return metric.compute().item()


def inception_score(images: ImageBytes, inception: str) -> float:
    """IS of one set of pictures, logits from a TorchScript file; `MissingNetworkError` without one that gives them."""
    network = _Inception(_script(inception, "evaluation.inception", "IS"), _Inception.LOGITS)
    if not network.gives_logits:
        key = "evaluation.inception"
        raise MissingNetworkError(f"IS is not computed: `{inception}` gives no logits; set {key} to {_HOW[key]}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `InceptionScore` will save all extracted features")
        metric = InceptionScore(feature=network, splits=1)
    for batch in images.permute(0, 3, 1, 2).split(BATCH):
        metric.update(batch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="std\\(\\): degrees of freedom")  # of one split: we take the mean
        return metric.compute()[0].item()


def lpips(images: ImageBytes, references: ImageBytes, network: str) -> Scores:
    """Perceptual distance per picture by a TorchScript file; `MissingNetworkError` without one."""
    module = _script(network, "evaluation.lpips", "LPIPS")
    batches = zip(images.split(BATCH), references.split(BATCH), strict=True)
    with torch.no_grad():
        scores = [module(*(_channels_first(batch) / 127.5 - 1 for batch in pair)).reshape(-1) for pair in batches]
    return torch.cat(scores)


class _Inception(nn.Module):
    """One output of a scripted network, as torchmetrics asks for it. FID wants the features, IS the logits."""

    FEATURES, LOGITS = 0, 1

    def __init__(self, module: nn.Module, output: int):
        super().__init__()
        self.module, self.output = module, output
        with torch.no_grad():
            probe = module(torch.zeros(1, 3, 299, 299, dtype=torch.uint8))
        self.gives_logits = isinstance(probe, tuple)
        self.num_features = (probe[self.FEATURES] if self.gives_logits else probe).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = self.module(images)
        return outputs[self.output] if self.gives_logits else outputs


_HOW = {
    "evaluation.inception": "a TorchScript file of Inception-v3 that maps uint8 [b, 3, h, w] of any size "
    "to (features [b, n], logits [b, k]); FID makes do with the features alone (export one with torch.jit.script from "
    "weights that you have)",
    "evaluation.lpips": "a TorchScript file that maps two float batches [b, 3, h, w] in [-1, 1] to distances [b]",
}


def _script(path: str, key: str, metric: str) -> nn.Module:
    if not path or not Path(path).is_file():
        found = f"`{path}` is not a file" if path else "no path is given"
        raise MissingNetworkError(f"{metric} is not computed: {found}; set {key} to {_HOW[key]}")
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise MissingNetworkError(f"{metric} is not computed: `{path}`: {reason}; give {_HOW[key]}") from None
