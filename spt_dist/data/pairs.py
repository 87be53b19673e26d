"""Pseudo pairs: who else, dressed alike, stands nearly as the target pose wants?

The semantic generator learns from pairs that nobody photographed. For a source and a wanted pose we look among all
samples (and their mirror images) for one that wears the same kinds of clothes, stands clearly otherwise than the
source, and has the least

    pose_distance(candidate, wanted) + AREA_WEIGHT * |areas(candidate) - areas(source)|^2

Poses are compared in torso lengths from the torso's centre, over the joints that both show; a joint that only one of
them shows costs `UNSHARED_COST`. Areas are shares of the foreground by `AREAS`, left and right together: sleeves and
trouser legs of another length change them. The found label map and its own joints are the pair's target; they fit
exactly, the wanted pose was only the wish.

What cannot be had is given up in this order: first that the pose differs clearly from the source's, then that the kinds
of clothes agree. The source itself, or its mirror image, is never the answer.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spt_dist.body import CLOTHING_LABELS, TORSO_JOINTS, Joint, Label
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import Batch, DataError, Sample, encode, flip_joints, flip_labels, read_labels
from spt_dist.types import Joints, LabelBytes

AREAS = (
    (Label.HAIR,), (Label.UPPER,), (Label.PANTS,), (Label.SKIRT,),
    (Label.L_ARM, Label.R_ARM), (Label.L_LEG, Label.R_LEG),
)  # fmt: skip
WORN_FRACTION = 0.03  # of the foreground: less of a garment is a labelling error
AREA_WEIGHT = 4.0
UNSHARED_COST = 0.5  # torso lengths squared, per joint that only one pose shows, averaged over all joints
CLEARLY_OTHER = 0.02  # pose distance; about 0.14 torso lengths per joint
SAME_POSE_COST = 1e4  # above any real distance, below the next
OTHER_CLOTHES_COST = 1e8


class Poses(NamedTuple):
    """Poses in torso lengths: `xy` [n, 18, 2], 0 where missing, and `visible` [n, 18]."""

    xy: Float[Tensor, "n 18 2"]
    visible: Float[Tensor, "n 18"]


class PseudoPairs:
    """Every sample's joints, areas and compressed label map in memory (about 2 kB each at 256x256), on the CPU."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ids: list[str] = []
        self._maps: list[bytes] = []
        joints, areas, worn, widths = [], [], [], []
        for sample in samples:
            self._ids.append(sample.id)
            self._maps.append(encode(sample)["parsing.png"])
            joints.append(torch.from_numpy(sample.joints))
            areas.append(label_areas(torch.from_numpy(sample.labels)[None])[0])
            worn.append(signatures(torch.from_numpy(sample.labels)[None])[0])
            widths.append(sample.labels.shape[1])
        if len(self._ids) < 2 or len(set(widths)) > 1:
            raise DataError(f"pseudo pairs need at least 2 samples of one size, found {len(self._ids)}")
        self._index = {name: index for index, name in enumerate(self._ids)}
        self._width = widths[0]
        self._joints = torch.stack(joints)
        # Candidates: the samples, then their mirror images.
        self._poses = normalised(torch.cat((self._joints, flip_joints(self._joints, self._width))))
        self._areas = torch.stack(areas).repeat(2, 1)
        self._worn = torch.stack(worn).repeat(2)

    @classmethod
    def from_shards(cls, shards: Path | str, split: str) -> "PseudoPairs":
        """Read a packed split once; `DataError` when it is missing, damaged or has fewer than 2 samples."""
        return cls(read_split(shards, split))

    def match(self, source: Batch, target_joints: Joints) -> tuple[LabelBytes, Joints]:
        """For each source the label map [b, h, w] nearest to the wanted pose, and that map's own joints [b, 18, 3].

        The search runs on the CPU over one [b, 2n] matrix; the answer comes on the source's device.
        """
        labels, own = source.labels.cpu(), normalised(source.joints.cpu())
        areas = label_areas(labels)
        cost = distances(normalised(target_joints.cpu()), self._poses)
        cost += AREA_WEIGHT * (areas[:, None] - self._areas[None]).square().sum(-1)
        cost += SAME_POSE_COST * (distances(own, self._poses) < CLEARLY_OTHER)
        cost += OTHER_CLOTHES_COST * (signatures(labels)[:, None] != self._worn[None])
        cost[self._is_itself(source.ids)] = torch.inf
        return self.answer(cost.argmin(1).tolist(), source.labels.device)

    def _is_itself(self, ids: list[str]) -> tuple[list[int], list[int]]:
        """Rows and columns of the cost matrix where a source meets itself or its mirror image."""
        rows = [row for row, name in enumerate(ids) if name in self._index]
        own = [self._index[ids[row]] for row in rows]
        return rows + rows, own + [index + len(self._ids) for index in own]

    def answer(self, candidates: list[int], device: torch.device) -> tuple[LabelBytes, Joints]:
        """The candidates' label maps and joints; those behind the samples are mirror images."""
        indices = [candidate % len(self._ids) for candidate in candidates]
        mirrored = torch.tensor([candidate >= len(self._ids) for candidate in candidates])[:, None, None]
        labels = torch.from_numpy(np.stack([read_labels(self._maps[index], self._ids[index]) for index in indices]))
        joints = self._joints[indices]
        return (
            torch.where(mirrored, flip_labels(labels), labels).to(device),
            torch.where(mirrored, flip_joints(joints, self._width), joints).to(device),
        )


def label_areas(labels: LabelBytes) -> Float[Tensor, "b 6"]:
    """Share of the foreground per group of `AREAS`; zero where there is no foreground."""
    counts = torch.stack([torch.bincount(one.flatten().long(), minlength=len(Label)) for one in labels]).float()
    foreground = counts[:, 1:].sum(1, keepdim=True).clamp(min=1)
    return torch.stack([counts[:, list(group)].sum(1) for group in AREAS], dim=1) / foreground


def signatures(labels: LabelBytes) -> Int[Tensor, "b"]:
    """The kinds of clothes worn, as bits in the order of `CLOTHING_LABELS`."""
    areas = label_areas(labels)
    worn = torch.stack([areas[:, AREAS.index((label,))] >= WORN_FRACTION for label in CLOTHING_LABELS], dim=1)
    return (worn * 2 ** torch.arange(len(CLOTHING_LABELS))).sum(1)


def normalised(joints: Joints) -> Poses:
    """Poses from the centre of the visible torso, in torso lengths; see `torso_frame`."""
    centre, length_px = torso_frame(joints)
    visible = (joints[..., 2] > 0).float()
    return Poses((joints[..., :2] - centre[:, None]) * visible[..., None] / length_px[:, None, None], visible)


def torso_frame(joints: Joints) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b"]]:
    """Centre (x, y) and length of the torso in px.

    The length is the mean of the visible sides (shoulder to hip); without one it is half the height of what is visible;
    never less than 1. Without a torso joint the centre is that of all joints.
    """
    xy, visible = joints[..., :2], (joints[..., 2] > 0).float()
    torso = visible[:, TORSO_JOINTS]
    weights = torch.zeros_like(visible)
    weights[:, TORSO_JOINTS] = torso
    weights = torch.where(torso.any(1, keepdim=True), weights, visible)
    centre = (xy * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1)
    xy = (xy - centre[:, None]) * visible[..., None]
    right = visible[:, Joint.R_SHOULDER] * visible[:, Joint.R_HIP]
    left = visible[:, Joint.L_SHOULDER] * visible[:, Joint.L_HIP]
    sides = right * (xy[:, Joint.R_SHOULDER] - xy[:, Joint.R_HIP]).norm(dim=-1)
    sides = sides + left * (xy[:, Joint.L_SHOULDER] - xy[:, Joint.L_HIP]).norm(dim=-1)
    height = xy[..., 1].amax(1) - xy[..., 1].amin(1)
    length = torch.where(right + left > 0, sides / (right + left).clamp(min=1), height / 2)
    return centre, length.clamp(min=1)


def distances(one: Poses, other: Poses) -> Float[Tensor, "b n"]:
    """Mean squared distance over the joints that both show, plus the cost of those that only one shows."""
    squares = (one.xy**2).sum(-1) @ other.visible.T + one.visible @ (other.xy**2).sum(-1).T
    products = one.xy.flatten(1) @ other.xy.flatten(1).T
    shared = one.visible @ other.visible.T
    unshared = one.visible.sum(1)[:, None] + other.visible.sum(1)[None] - 2 * shared
    return (squares - 2 * products).clamp(min=0) / shared.clamp(min=1) + UNSHARED_COST * unshared / len(Joint)
