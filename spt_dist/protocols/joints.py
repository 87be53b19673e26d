"""PCKh: the share of the wanted joints that a pose detector finds near enough, by the size of the head.

SPT's 18 joints have no top of the head, from which the measure's first definition takes its segment; the rules here say
what stands in for it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from spt_dist.body import HEAD_JOINTS, Joint
from spt_dist.protocols.definition import Statistic, UndefinedError
from spt_dist.types import Heatmaps, Joints

ALPHA = 0.5  # of the head
SEEN = 0.1  # a peak below this is no joint, as in the field's detector
HEAD_BOX = (Joint.NOSE, Joint.NECK, Joint.L_EYE, Joint.R_EYE, Joint.L_EAR, Joint.R_EAR)

Hits = tuple[Float[Tensor, "b"], Float[Tensor, "b"]]  # per picture: joints found, joints wanted
Rule = Callable[[Joints, Joints], Hits]


def peaks(heatmaps: Heatmaps) -> Joints:
    """Where each heat map is brightest; not visible where that is dim."""
    values, places = heatmaps.flatten(2).max(2)
    width = heatmaps.shape[3]
    return torch.stack([places % width, places // width, values >= SEEN], dim=-1).float()


def near_by_box(found: Joints, wanted: Joints) -> Hits:
    """Nearer than half the width and half the height of the box round nose, neck, eyes and ears (two at least)."""
    head = wanted[:, list(HEAD_BOX)]
    seen = head[..., 2:] > 0
    low = head[..., :2].masked_fill(~seen, torch.inf).amin(1)
    high = head[..., :2].masked_fill(~seen, -torch.inf).amax(1)
    apart = (found[..., :2] - wanted[..., :2]).abs()
    near = (apart < ALPHA * (high - low)[:, None]).all(-1)
    return _count(near, found, wanted, seen.sum((1, 2)) >= 2)


def near_by_segment(found: Joints, wanted: Joints) -> Hits:
    """Nearer than half the way from the neck to the middle of the visible joints of nose, eyes and ears."""
    head, neck = wanted[:, list(HEAD_JOINTS)], wanted[:, Joint.NECK]
    seen = (head[..., 2:] > 0).float()
    middle = (head[..., :2] * seen).sum(1) / seen.sum(1).clamp(min=1)
    segment = (middle - neck[:, :2]).norm(dim=-1)
    apart = (found[..., :2] - wanted[..., :2]).norm(dim=-1)
    near = apart < ALPHA * segment[:, None]
    return _count(near, found, wanted, (neck[:, 2] > 0) & (seen.sum((1, 2)) > 0))


def pckh(found: Joints, wanted: Joints, rule: Rule, origin: str) -> Statistic:
    """The share over the joints of all pictures; people without a head to measure by are left out.

    Raises:
        UndefinedError: that is everybody.
    """
    right, counted = rule(found, wanted)
    if not counted.any():
        raise UndefinedError("no target shows the head's joints by which distances are measured")
    return Statistic(
        len(right), lambda chosen: (right[chosen].sum() / counted[chosen].sum()).item(), "the wanted joints", origin
    )


def _count(near: Tensor, found: Joints, wanted: Joints, measured: Tensor) -> Hits:
    wanted_seen = (wanted[..., 2] > 0) & measured[:, None]
    return (near & (found[..., 2] > 0) & wanted_seen).sum(1).float(), wanted_seen.sum(1).float()
