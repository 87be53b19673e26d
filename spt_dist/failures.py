"""The worst pictures of an evaluation, each with the reason.

A reason is decided by the rules of `RULES`, in the order in which a picture is made: what comes in, what was learned,
H_S's map, what H_A can know. The first that holds is the reason, and whatever else holds is said as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spt_dist import config, metrics
from spt_dist.body import WARP_PARTS, Joint, WarpPart
from spt_dist.data.files import read_tars
from spt_dist.data.manifest import Manifest
from spt_dist.data.pairs import distances, normalised
from spt_dist.data.schema import flip_joints
from spt_dist.held_out import Drawn, picture_row
from spt_dist.pictures import view_label
from spt_dist.types import Joints

LEAST_JOINTS = 12
RARE = 0.9  # quantile of the distances to the nearest training pose
WRONG = 0.8  # this share of the pairs has better maps
MOST_POSES = 20_000  # of the training split
LIMBS = {part.name: part for part in WARP_PARTS if part.mirror}

MISSING_JOINTS, RARE_POSE, WRONG_PARSING = "missing joints", "rare pose", "wrong parsing"
UNSEEN_SIDE, APPEARANCE = "unseen side", "appearance"

RULES = {
    MISSING_JOINTS: f"source or target shows fewer than {LEAST_JOINTS} of {len(Joint)} joints, or the target shows a "
    "limb of which the source shows neither side, so that nothing can be warped",
    RARE_POSE: f"the target pose lies farther from the nearest training pose, or its mirror image, than {RARE:.0%} of "
    "the scored pairs do (mean squared distance of the joints in torso lengths)",
    WRONG_PARSING: f"H_S's map agrees less with the true one than {WRONG:.0%} of the scored pairs' maps do, by mIoU",
    UNSEEN_SIDE: "the source is seen from the front and the target from the back, or the other way round, by the order "
    "of the shoulders",
    APPEARANCE: "none of these: H_A had what it needs",
}

PerPair = Float[Tensor, "n"]


@dataclass(frozen=True)
class Failure:
    """One of the worst pairs: which, how bad, and why; `because` holds a line for every rule that holds."""

    source: str
    target: str
    masked_ssim: float
    mean_iou: float
    pose_distance: float
    views: str
    reason: str
    because: list[str]


class Evidence(NamedTuple):
    """What the rules look at, for every scored pair."""

    mean_iou: PerPair
    pose_distance: PerPair
    source_joints: Joints
    target_joints: Joints


def find_failures(drawn: Sequence[Drawn], scores: PerPair, settings: config.Config) -> list[tuple[Failure, list[Any]]]:
    """The `evaluation.failures` pairs of the lowest scores, worst first, each with its row of pictures."""
    pairs = [pair for batch in drawn for pair in batch.pairs]
    slots = [(batch, slot) for batch in drawn for slot in range(len(batch.pairs))]
    evidence = gather(drawn, settings.data.shards)
    found = []
    for index in scores.argsort()[: settings.evaluation.failures].tolist():
        because = explain(evidence, index)
        failure = Failure(
            pairs[index].source.id,
            pairs[index].target.id,
            scores[index].item(),
            evidence.mean_iou[index].item(),
            evidence.pose_distance[index].item(),
            " to ".join(_views(evidence, index)),
            next(iter(because), APPEARANCE),
            list(because.values()) or ["no rule holds: H_A had the joints, a usual pose, a map as good as most"],
        )
        found.append((failure, picture_row(*slots[index])))
    return found


def gather(drawn: Sequence[Drawn], shards: str) -> Evidence:
    """What the rules look at, from what was drawn and the training poses of `shards`."""
    overlaps = [
        metrics.mean_iou(ours[None], true[None])
        for batch in drawn
        for ours, true in zip(batch.labels, batch.target.labels, strict=True)
    ]
    source, target = (torch.cat(j) for j in zip(*((b.source.joints, b.target.joints) for b in drawn), strict=True))
    trained, width = torch.stack(list(read_poses(shards))), Manifest.load(shards).size[1]
    known = normalised(torch.cat((trained, flip_joints(trained, width))))
    return Evidence(torch.tensor(overlaps), distances(normalised(target), known).amin(1), source, target)


def explain(evidence: Evidence, index: int) -> dict[str, str]:
    """The rules that hold for a pair, in their order: what each found."""
    because = {}
    source, target = (joints[index, :, 2] > 0 for joints in (evidence.source_joints, evidence.target_joints))
    lacks = [
        f"the {who} shows {int(visible.sum())} of {len(Joint)} joints, {LEAST_JOINTS} are needed"
        for who, visible in (("source", source), ("target", target))
        if visible.sum() < LEAST_JOINTS
    ]
    unseen = [part.name for part in LIMBS.values() if _shows(target, part) and not _can_be_warped(source, part)]
    if unseen:
        lacks.append(f"the target shows {_listed(unseen)}, the source on neither side")
    if lacks:
        because[MISSING_JOINTS] = ", ".join(lacks)
    own, limit = evidence.pose_distance[index], evidence.pose_distance.quantile(RARE)
    if own > limit:
        because[RARE_POSE] = (
            f"the nearest training pose is {own:.3f} away, {RARE:.0%} of the pairs have one within {limit:.3f}"
        )
    own, limit = evidence.mean_iou[index], evidence.mean_iou.quantile(1 - WRONG)
    if own < limit:
        because[WRONG_PARSING] = f"H_S's map has a mIoU of {own:.2f}, {WRONG:.0%} of the maps have {limit:.2f} and more"
    views = _views(evidence, index)
    if set(views) == {"front", "back"}:
        because[UNSEEN_SIDE] = f"the source is seen from the {views[0]}, the target from the {views[1]}"
    return because


def read_poses(shards: str, most: int = MOST_POSES) -> Iterator[Float[Tensor, "18 3"]]:
    """The first poses of the training split; pictures are not decoded."""
    for files in islice(read_tars(Manifest.load(shards).paths("train")), most):
        yield torch.from_numpy(np.load(BytesIO(files["pose.npy"]), allow_pickle=False))


def _views(evidence: Evidence, index: int) -> tuple[str, str]:
    """From where source and target are seen."""
    source, target = (joints[index].numpy() for joints in (evidence.source_joints, evidence.target_joints))
    return view_label(source), view_label(target)


def _shows(visible: Tensor, part: WarpPart) -> bool:
    assert part.upper is not None
    assert part.lower is not None
    return bool(visible[part.upper] and visible[part.lower])


def _can_be_warped(visible: Tensor, part: WarpPart) -> bool:
    """Whether a source shows the limb, or the other side's, which stands in."""
    return _shows(visible, part) or _shows(visible, LIMBS[part.mirror])


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
