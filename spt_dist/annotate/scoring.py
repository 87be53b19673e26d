"""How good an annotation is where the truth is known: joints by PCK, labels by intersection over union.

PCK@t is the share of the joints which the truth shows that are found within t torso lengths (`geometry.torso_length` of
the true pose) of their place; a joint that was called missing is not found. `invented` is the share of the joints which
the truth calls missing that were found all the same. Over all pictures together, not a mean of pictures.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spt_dist import metrics
from spt_dist.body import HEAD_JOINTS, Joint, Label
from spt_dist.geometry import torso_length
from spt_dist.types import Joints

NEAR = (0.1, 0.2)  # torso lengths
MIOU = "parsing mIoU"
Maps = UInt8[Tensor, "..."]

GROUPS = {
    "head": HEAD_JOINTS,
    "neck, shoulders": (Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER),
    "elbows": (Joint.R_ELBOW, Joint.L_ELBOW),
    "wrists": (Joint.R_WRIST, Joint.L_WRIST),
    "hips": (Joint.R_HIP, Joint.L_HIP),
    "knees": (Joint.R_KNEE, Joint.L_KNEE),
    "ankles": (Joint.R_ANKLE, Joint.L_ANKLE),
}


class Score(NamedTuple):
    """Every value has a name; NaN where nothing could be counted."""

    pck: dict[float, dict[str, float]]  # by torso lengths, then by group; "all" is of all joints
    invented: float
    iou: dict[str, float]  # by label
    miou: float
    pictures: int

    def in_short(self) -> dict[str, float]:
        """What a validation follows."""
        return {f"PCK@{near:g}": by_group["all"] for near, by_group in self.pck.items()} | {MIOU: self.miou}


def hits(found: Joints, truth: Joints, near: float) -> tuple[Float[Tensor, "b 18"], Float[Tensor, "b 18"]]:
    """Which joints were found within `near` torso lengths, and which are to be found."""
    wanted = truth[..., 2] > 0
    apart = (found[..., :2] - truth[..., :2]).norm(dim=-1)
    right = (apart <= near * torso_length(truth)[:, None]) & (found[..., 2] > 0) & wanted
    return right.float(), wanted.float()


def score(found: Joints, truth: Joints, labels: Sequence[Maps], true_labels: Sequence[Maps]) -> Score:
    """Scores over all pictures; their maps may be of several sizes, each found one of its truth's."""
    groups = GROUPS | {"all": tuple(Joint)}
    pck: dict[float, dict[str, float]] = {}
    for near in NEAR:
        right, wanted = hits(found, truth, near)
        pck[near] = {
            name: (right[:, list(joints)].sum() / wanted[:, list(joints)].sum()).item()
            for name, joints in groups.items()
        }
    missing = truth[..., 2] <= 0
    invented = ((found[..., 2] > 0) & missing).sum() / missing.sum()
    flat, true_flat = (torch.cat([each.flatten() for each in maps])[None, None] for maps in (labels, true_labels))
    iou = metrics.label_iou(flat, true_flat)
    by_label = {label.name: iou[label].item() for label in Label}
    return Score(pck, invented.item(), by_label, metrics.mean_iou(flat, true_flat), len(found))
