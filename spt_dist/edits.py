"""Named edits of a parsing map: longer sleeves, trousers for a dress, shorter hair. Pure geometry on labels and joints.

A limb is a line from joint to joint; a pixel belongs to the limb that it is nearest to, and has a place along it, 0 at
the upper joint and 1 at the lower. Widths are fractions of the torso's length, as in `geometry`. An edit changes labels
only where the garment ends or begins: everything else of the map stays. What an edit needs and does not find (a
garment, hips, an arm in view) is a `ValueError` that says so: an edit never returns the map unchanged.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from spt_dist.body import Joint, Label

Labels = UInt8[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Pose = Float[np.ndarray, "18 3"]

LEAST_CHANGE = 0.01  # of the person's pixels: less is the parser's slip, not a garment's end
# Widths and heights of what is cut, as fractions of the torso's length; ends, as fractions along a bone.
LEG_RADIUS, SHIN_RADIUS, BARE_LEG_RADIUS = 0.23, 0.17, 0.16
ARM_RADIUS, FOLDED_ARM_RADIUS = 0.2, 0.1  # beside the trunk, and in front of it
WAIST, CROTCH = 0.1, -0.2  # above the hips, along the spine
DRESS_HEM = -0.3  # an upper garment that reaches further down than this is a dress
HAND = 0.85  # along the forearm
SHORT_SLEEVE = 0.5  # along the upper arm
ANKLE = 0.9  # along the shin
SHORTS = 0.7  # along the thigh
SKIRT_HEM, SKIRT_FLARE = 0.8, 0.12
LONG_HAIR, LONG_HAIR_WIDTH = 0.4, 1.1  # below the neck; of the head's width
SIDE_VIEW = 0.4  # of half the head's width: a nose further aside than this looks aside
SIDE_HAIR = 0.28  # of the head's width: what falls in front of either shoulder


class Limb(NamedTuple):
    """A limb of two bones, by its joints, and the label that its skin has."""

    upper: Joint
    middle: Joint
    lower: Joint
    label: Label


ARMS = (
    Limb(Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST, Label.R_ARM),
    Limb(Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST, Label.L_ARM),
)
LEGS = (
    Limb(Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE, Label.R_LEG),
    Limb(Joint.L_HIP, Joint.L_KNEE, Joint.L_ANKLE, Label.L_LEG),
)


class Place(NamedTuple):
    """Where each pixel lies by a limb: `along` it (0 to 1 the upper bone, 1 to 2 the lower one and beyond), and how far
    from it in px."""

    along: Float[np.ndarray, "h w"]
    far_px: Float[np.ndarray, "h w"]


def edit_labels(name: str, labels: Labels, joints: Pose) -> Labels:
    """The map after the named edit (`EDITS`); `joints` are (x_px, y_px, visible) in the map's own px.

    Raises:
        ValueError: there is no such edit, or the map or the pose lacks what it needs.
    """
    if name not in EDITS:
        raise ValueError(f"`{name}` is no edit; there are {', '.join(EDITS)}")
    try:
        edited = EDITS[name](labels, joints)
    except ValueError as error:
        raise ValueError(f"`{name}` cannot be done: {error}") from None
    if (edited != labels).sum() < LEAST_CHANGE * (labels != Label.BACKGROUND).sum():
        raise ValueError(f"`{name}` changes nothing here: it is so already; try another edit or person")
    return edited


def long_sleeves(labels: Labels, joints: Pose) -> Labels:
    """Bare arms down to the hand become upper clothes."""
    edited = labels.copy()
    for arm in ARMS:
        if (place := _place(arm, joints, labels.shape)) is not None:
            edited[(labels == arm.label) & (place.along < 1 + HAND)] = Label.UPPER
    return edited


def short_sleeves(labels: Labels, joints: Pose) -> Labels:
    """Sleeves below the middle of the upper arm become bare arms; an arm of which no skin is seen is left alone."""
    edited, torso_px, trunk = labels.copy(), _torso_px(joints), _trunk(joints, labels.shape)
    for arm in ARMS:
        place = _place(arm, joints, labels.shape)
        if place is None or not (labels == arm.label).any():
            continue
        radius_px = np.where(trunk, FOLDED_ARM_RADIUS, ARM_RADIUS) * torso_px
        sleeve = (labels == Label.UPPER) & (place.far_px < radius_px) & (place.along > SHORT_SLEEVE)
        edited[sleeve] = arm.label
    return edited


def dress_to_pants(labels: Labels, joints: Pose) -> Labels:
    """The part of a dress below the waist becomes trousers down to the ankles."""
    height = _height(joints, labels.shape)
    if not ((labels == Label.UPPER) & (height < DRESS_HEM)).any():
        raise ValueError("no upper garment reaches far below the hips")
    return _trousers(labels, joints, (labels == Label.UPPER) & (height < WAIST))


def skirt_to_pants(labels: Labels, joints: Pose) -> Labels:
    """A skirt becomes trousers down to the ankles."""
    return _trousers(labels, joints, _worn(labels, Label.SKIRT))


def shorts_to_pants(labels: Labels, joints: Pose) -> Labels:
    """Trousers reach down to the ankles."""
    return _trousers(labels, joints, _worn(labels, Label.PANTS))


def pants_to_shorts(labels: Labels, joints: Pose) -> Labels:
    """Trousers end above the knee."""
    return _bare_legs(labels, joints, _worn(labels, Label.PANTS) & (_legs(joints, labels.shape)[1].along > SHORTS))


def pants_to_skirt(labels: Labels, joints: Pose) -> Labels:
    """Trousers become a skirt to the knee, and bare legs below it."""
    pants, torso_px = _worn(labels, Label.PANTS), _torso_px(joints)
    hem = [joints[leg.upper, :2] + SKIRT_HEM * (joints[leg.middle, :2] - joints[leg.upper, :2]) for leg in LEGS]
    hips = [joints[leg.upper, :2] for leg in LEGS]
    reaches = [(hips, LEG_RADIUS * torso_px), (hem, (LEG_RADIUS + SKIRT_FLARE) * torso_px)]
    corners = [(x + side * reach, y) for points, reach in reaches for x, y in points for side in (-1, 1)]
    skirt = _hull(np.array(corners), labels.shape)
    skirt |= pants & (_height(joints, labels.shape) > CROTCH)
    edited = _bare_legs(labels, joints, pants & ~skirt)
    edited[skirt & np.isin(labels, (Label.BACKGROUND, Label.PANTS, Label.L_LEG, Label.R_LEG))] = Label.SKIRT
    return edited


def shorter_hair(labels: Labels, joints: Pose) -> Labels:
    """Hair ends at the chin: what hung lower is upper clothes in front of the trunk, neck above it, else background."""
    hair, (chin_y, neck_y) = _worn(labels, Label.HAIR), _chin_and_neck(joints)
    rows, columns = np.indices(labels.shape)
    low = hair & (rows > chin_y)
    head = np.flatnonzero((np.isin(labels, (Label.FACE, Label.HAIR)) & (rows <= chin_y)).any(0))
    if not head.size:
        raise ValueError("no head is seen above the chin")
    quarter = (head[-1] - head[0]) / 4
    in_neck = (columns > head[0] + quarter) & (columns < head[-1] - quarter)
    behind = np.where(in_neck & (rows < neck_y), Label.FACE, Label.BACKGROUND)
    behind = np.where(_trunk(joints, labels.shape), Label.UPPER, behind)
    return np.where(low, behind, labels).astype(np.uint8)


def longer_hair(labels: Labels, joints: Pose) -> Labels:
    """Hair falls below the shoulders: beside the face, or all over the back of whoever turns it to us."""
    hair, (chin_y, neck_y) = _worn(labels, Label.HAIR), _chin_and_neck(joints)
    rows, columns = np.indices(labels.shape)
    head = np.flatnonzero((hair | (labels == Label.FACE))[: max(1, int(chin_y))].any(0))
    if not head.size:
        raise ValueError("no head is seen above the chin")
    middle, half = (head[0] + head[-1]) / 2, (head[-1] - head[0] + 1) / 2 * LONG_HAIR_WIDTH
    aside = np.abs(columns - middle)
    crown_y = float(np.flatnonzero(hair.any(1))[0])
    top = crown_y + (chin_y - crown_y) / 3
    fall = (aside <= half) & (rows > top) & (rows < neck_y + LONG_HAIR * _torso_px(joints))
    if joints[Joint.NOSE, 2] > 0:
        turn = joints[Joint.NOSE, 0] - middle
        if abs(turn) > SIDE_VIEW * half:  # from the side hair falls behind the face alone
            fall &= (columns - middle) * turn < 0
        fall &= aside >= half * (1 - 2 * SIDE_HAIR)
    return np.where(fall & np.isin(labels, (Label.BACKGROUND, Label.UPPER)), Label.HAIR, labels).astype(np.uint8)


EDITS: dict[str, Callable[[Labels, Pose], Labels]] = {
    "long-sleeves": long_sleeves,
    "short-sleeves": short_sleeves,
    "dress-to-pants": dress_to_pants,
    "skirt-to-pants": skirt_to_pants,
    "shorts-to-pants": shorts_to_pants,
    "pants-to-shorts": pants_to_shorts,
    "pants-to-skirt": pants_to_skirt,
    "shorter-hair": shorter_hair,
    "longer-hair": longer_hair,
}


def _trousers(labels: Labels, joints: Pose, garment: Mask) -> Labels:
    """The garment's pixels and the legs as trousers down to the ankles; what of the garment is neither is background.

    The trousers may cover background beside the legs.
    """
    torso_px, (leg_labels, place) = _torso_px(joints), _legs(joints, labels.shape)
    radius = LEG_RADIUS + (SHIN_RADIUS - LEG_RADIUS) * (place.along / (1 + ANKLE)).clip(0, 1)
    legs = (place.far_px < radius * torso_px) & (place.along < 1 + ANKLE)
    legs &= garment | np.isin(labels, (Label.BACKGROUND, Label.L_LEG, Label.R_LEG))
    legs |= (labels == leg_labels) & (place.along < 1 + ANKLE)
    legs |= garment & (_height(joints, labels.shape) > CROTCH)
    edited = labels.copy()
    edited[garment] = Label.BACKGROUND
    edited[garment & (labels == Label.PANTS) | legs] = Label.PANTS
    return edited


def _bare_legs(labels: Labels, joints: Pose, where: Mask) -> Labels:
    """Skin of the nearest leg where it reaches, background elsewhere."""
    leg_labels, place = _legs(joints, labels.shape)
    behind = np.where(place.far_px < BARE_LEG_RADIUS * _torso_px(joints), leg_labels, Label.BACKGROUND)
    return np.where(where, behind, labels).astype(np.uint8)


def _legs(joints: Pose, size: tuple[int, ...]) -> tuple[Labels, Place]:
    """Each pixel's nearest leg, as its label, and the pixel's place by it."""
    places = [_place(leg, joints, size) for leg in LEGS]
    seen = [(leg.label, place) for leg, place in zip(LEGS, places, strict=True) if place is not None]
    if not seen:
        raise ValueError("no leg has hip, knee and ankle in view")
    nearest = np.stack([place.far_px for _, place in seen]).argmin(axis=0)
    labels = np.array([label for label, _ in seen], np.uint8)[nearest]
    along = np.choose(nearest, [place.along for _, place in seen])
    return labels, Place(along, np.min([place.far_px for _, place in seen], axis=0))


def _place(limb: Limb, joints: Pose, size: tuple[int, ...]) -> Place | None:
    """Every pixel's place by the limb; None where a joint of it is missing."""
    ends = joints[[limb.upper, limb.middle, limb.lower]]
    if not (ends[:, 2] > 0).all():
        return None
    rows, columns = np.indices(size[:2])
    along, far = np.zeros(size[:2]), np.full(size[:2], np.inf)
    for bone, (a, b) in enumerate(zip(ends[:-1, :2], ends[1:, :2], strict=True)):
        dx, dy = b - a
        share = ((columns - a[0]) * dx + (rows - a[1]) * dy) / max(float(dx * dx + dy * dy), 1e-6)
        on = share.clip(0, 1)
        here = np.hypot(columns - a[0] - on * dx, rows - a[1] - on * dy)
        beyond = share if bone else on  # past the lower joint the limb goes on: hand, foot
        along, far = np.where(here < far, bone + beyond.clip(0), along), np.minimum(here, far)
    return Place(along, far)


def _height(joints: Pose, size: tuple[int, ...]) -> Float[np.ndarray, "h w"]:
    """How far above the hips each pixel lies along the spine, in torso lengths; below them negative."""
    hips, neck = _middle(joints, Joint.R_HIP, Joint.L_HIP), _middle(joints, Joint.R_SHOULDER, Joint.L_SHOULDER)
    up = np.asarray(neck - hips)
    rows, columns = np.indices(size[:2])
    return ((columns - hips[0]) * up[0] + (rows - hips[1]) * up[1]) / max(float(up @ up), 1e-6)


def _torso_px(joints: Pose) -> float:
    shoulders, hips = _middle(joints, Joint.R_SHOULDER, Joint.L_SHOULDER), _middle(joints, Joint.R_HIP, Joint.L_HIP)
    return max(float(np.linalg.norm(shoulders - hips)), 1.0)


def _middle(joints: Pose, *pair: Joint) -> np.ndarray:
    seen = [joints[joint, :2] for joint in pair if joints[joint, 2] > 0]
    if not seen:
        raise ValueError(f"neither {pair[0].name.lower()} nor {pair[1].name.lower()} is in view")
    return np.stack(seen).mean(axis=0)


def _trunk(joints: Pose, size: tuple[int, ...]) -> Mask:
    """The pixels between shoulders and hips."""
    corners = (Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP)
    return _hull(np.array([joints[joint, :2] for joint in corners if joints[joint, 2] > 0]), size)


def _hull(points: np.ndarray, size: tuple[int, ...]) -> Mask:
    mask = np.zeros(size[:2], np.uint8)
    if len(points):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    return mask.astype(bool)


def _chin_and_neck(joints: Pose) -> tuple[float, float]:
    """Heights y_px of the chin, two fifths of the way from nose or ears to the neck, and of the neck."""
    neck = _middle(joints, Joint.NECK, Joint.NECK)
    head = [j for j in (Joint.NOSE, Joint.L_EAR, Joint.R_EAR) if joints[j, 2] > 0]
    if not head:
        raise ValueError("neither nose nor ears are in view")
    return float(0.6 * joints[head, 1].mean() + 0.4 * neck[1]), float(neck[1])


def _worn(labels: Labels, label: Label) -> Mask:
    if not (mask := labels == label).any():
        raise ValueError(f"the map has no {label.name.lower()}")
    return mask
