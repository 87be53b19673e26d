"""What is scored, on which pairs, by view: rows of numbers."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from spt_dist import metrics, pictures, region_metrics
from spt_dist.ablation.judges import Judges
from spt_dist.data.schema import Batch
from spt_dist.held_out import Pair
from spt_dist.types import ImageBytes, LabelBytes

ALL, SAME, TURNED, OPPOSITE = "all", "same view", "turned", "opposite"
STRATA = (ALL, SAME, TURNED, OPPOSITE)
MASKED_SSIM, L1, SSIM_INSIDE, COLOUR, TEXTURE, CONTRAST = (
    "masked SSIM", "L1 inside", "SSIM inside", "region colour", "texture", "contrast",
)  # fmt: skip
REPARSED, POSE, PARSING = "re-parsed mIoU", "pose error", "H_S mIoU"
SCORED_AT_ONCE = 50


class Definition(NamedTuple):
    """What a number means, and which way is better: +1 higher, -1 lower, 0 nearer to 1."""

    words: str
    better: int


_WAYS = {"higher": 1, "lower": -1, "near 1": 0}
PER_PICTURE = tuple(metric for metric in (*metrics.PAIRED, *region_metrics.INSIDE) if metric.name != "SSIM")
DEFINITIONS = {metric.name: Definition(metric.definition, _WAYS[metric.better]) for metric in PER_PICTURE} | {
    REPARSED: Definition("mIoU between the true map and what an independent parser sees in the picture", 1),
    POSE: Definition("mean distance in px between wanted joints and those an independent detector sees", -1),
    PARSING: Definition("mIoU between the map that H_A was given and the true map", 1),
}


def stratum(pair: Pair) -> str:
    """How far the person turns: the same view, a turn to or from the side, or front to back."""
    views = {pictures.view_label(pair.source.joints), pictures.view_label(pair.target.joints)}
    if len(views) == 1:
        return SAME
    return OPPOSITE if views == {"front", "back"} else TURNED


def score(
    images: ImageBytes, labels: LabelBytes | None, truth: Batch, strata: list[str], judges: Judges
) -> dict[tuple[str, str], float]:
    """(stratum, metric) -> value, over pictures against the true ones; `labels` are the maps they were painted from."""
    per_picture: dict[str, Tensor] = {}
    for metric in PER_PICTURE:
        per_picture[metric.name] = torch.cat(
            [
                metric.score(*part)
                for part in zip(
                    *(each.split(SCORED_AT_ONCE) for each in (images, truth.images, truth.labels, truth.joints)),
                    strict=True,
                )
            ]
        )
    per_picture[POSE] = judges.pose_errors(images, truth.joints)
    maps: dict[str, LabelBytes] = {REPARSED: judges.parse(images)} | ({} if labels is None else {PARSING: labels})
    values = {}
    for name, chosen in _choices(strata).items():
        values |= {(name, metric): each[chosen].nanmean().item() for metric, each in per_picture.items()}
        values |= {
            (name, metric): metrics.mean_iou(each[chosen], truth.labels[chosen]) for metric, each in maps.items()
        }
    return values


def _choices(strata: list[str]) -> Mapping[str, Tensor]:
    """Which pictures belong to each stratum that has any."""
    chosen = {name: torch.tensor([name in (ALL, each) for each in strata]) for name in STRATA}
    return {name: which for name, which in chosen.items() if which.any()}
