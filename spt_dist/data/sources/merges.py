"""Parsers' labels, and how each becomes one of our ten.

A table is a parser's classes in its own order, each with the label that it becomes. Where there are several the class
has no side, or is skin of any part: each of its pixels goes to the nearest of them, measured to pixels that have the
label already and to the label's bones (`BONES`), whichever is nearer. Where neither is to be seen it is background.

The rules, the same in each: what covers the trunk is upper clothes (dress, coat, jumpsuit, scarf, tie, belt); what is
worn on a limb as a second skin is the limb (shoes, socks, stockings, gloves, watch); a hat is hair, glasses and
the skin of neck and breast are face; what is carried is background. "Left" is the person's own left, in the parsers as
here. How SPT merged is not published: these tables are ours. Whoever changes one raises its version, which
`import.json` repeats.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8

from spt_dist.body import HEAD_JOINTS, Joint, Label
from spt_dist.data.schema import DataError, JointArray, LabelArray

NOTHING = (Label.BACKGROUND,)
FACE, HAIR, UPPER, PANTS, SKIRT = ((label,) for label in list(Label)[1:6])
L_ARM, R_ARM, L_LEG, R_LEG = ((label,) for label in list(Label)[6:])
ARMS, LEGS = (Label.L_ARM, Label.R_ARM), (Label.L_LEG, Label.R_LEG)
SKIN = (Label.FACE, *ARMS, *LEGS)


class Merge(NamedTuple):
    """A parser's classes in its order, by name, each with the labels that it can become."""

    version: int
    classes: dict[str, tuple[Label, ...]]


_LIP = {
    "background": NOTHING, "hat": HAIR, "hair": HAIR, "glove": ARMS, "sunglasses": FACE, "upper-clothes": UPPER,
    "dress": UPPER, "coat": UPPER, "socks": LEGS, "pants": PANTS, "jumpsuits": UPPER, "scarf": UPPER, "skirt": SKIRT,
    "face": FACE, "left-arm": L_ARM, "right-arm": R_ARM, "left-leg": L_LEG, "right-leg": R_LEG, "left-shoe": L_LEG,
    "right-shoe": R_LEG,
}  # fmt: skip
_CIHP = {"torso-skin" if name == "jumpsuits" else name: labels for name, labels in _LIP.items()} | {"torso-skin": FACE}
_ATR = {
    "background": NOTHING, "hat": HAIR, "hair": HAIR, "sunglasses": FACE, "upper-clothes": UPPER, "skirt": SKIRT,
    "pants": PANTS, "dress": UPPER, "belt": UPPER, "left-shoe": L_LEG, "right-shoe": R_LEG, "face": FACE,
    "left-leg": L_LEG, "right-leg": R_LEG, "left-arm": L_ARM, "right-arm": R_ARM, "bag": NOTHING, "scarf": UPPER,
}  # fmt: skip
_CCP = {
    "null": NOTHING, "accessories": NOTHING, "bag": NOTHING, "belt": UPPER, "blazer": UPPER, "blouse": UPPER,
    "bodysuit": UPPER, "boots": LEGS, "bra": UPPER, "bracelet": ARMS, "cape": UPPER, "cardigan": UPPER, "clogs": LEGS,
    "coat": UPPER, "dress": UPPER, "earrings": FACE, "flats": LEGS, "glasses": FACE, "gloves": ARMS, "hair": HAIR,
    "hat": HAIR, "heels": LEGS, "hoodie": UPPER, "intimate": UPPER, "jacket": UPPER, "jeans": PANTS, "jumper": UPPER,
    "leggings": PANTS, "loafers": LEGS, "necklace": FACE, "panties": PANTS, "pants": PANTS, "pumps": LEGS,
    "purse": NOTHING, "ring": ARMS, "romper": UPPER, "sandals": LEGS, "scarf": UPPER, "shirt": UPPER, "shoes": LEGS,
    "shorts": PANTS, "skin": SKIN, "skirt": SKIRT, "sneakers": LEGS, "socks": LEGS, "stockings": LEGS, "suit": UPPER,
    "sunglasses": FACE, "sweater": UPPER, "sweatshirt": UPPER, "swimwear": UPPER, "t-shirt": UPPER, "tie": UPPER,
    "tights": LEGS, "top": UPPER, "vest": UPPER, "wallet": NOTHING, "watch": ARMS, "wedges": LEGS,
}  # fmt: skip

MERGES = {
    "spt": Merge(1, {label.name.lower(): (label,) for label in Label}),
    "lip-20": Merge(1, _LIP),
    "cihp-20": Merge(1, _CIHP),
    "atr-18": Merge(1, _ATR),
    "ccp-59": Merge(1, _CCP),
}
NEEDS_JOINTS = tuple(name for name, merge in MERGES.items() if SKIN in merge.classes.values())

# Where a label's skin is to be expected: along these lines. The head's are its joints and the neck.
BONES = {
    Label.FACE: ((Joint.NOSE, Joint.NECK), *((joint, Joint.NOSE) for joint in HEAD_JOINTS)),
    Label.L_ARM: ((Joint.L_SHOULDER, Joint.L_ELBOW), (Joint.L_ELBOW, Joint.L_WRIST)),
    Label.R_ARM: ((Joint.R_SHOULDER, Joint.R_ELBOW), (Joint.R_ELBOW, Joint.R_WRIST)),
    Label.L_LEG: ((Joint.L_HIP, Joint.L_KNEE), (Joint.L_KNEE, Joint.L_ANKLE)),
    Label.R_LEG: ((Joint.R_HIP, Joint.R_KNEE), (Joint.R_KNEE, Joint.R_ANKLE)),
}


def merge(found: Integer[np.ndarray, "h w"], parser: str, joints: JointArray | None = None) -> LabelArray:
    """A parser's map with our labels; `joints`, in px of the map, help where a class may become several.

    Raises:
        DataError: a value is none of the parser's classes.
    """
    classes = list(MERGES[parser].classes.values())
    lowest, highest = int(found.min(initial=0)), int(found.max(initial=0))
    if lowest < 0 or highest >= len(classes):
        wrong = lowest if lowest < 0 else highest
        raise DataError(
            f"label {wrong} is none of {parser}'s 0..{len(classes) - 1}; name the parser with --labels "
            f"({', '.join(MERGES)})"
        )
    certain = np.array([labels[0] if len(labels) == 1 else Label.BACKGROUND for labels in classes], np.uint8)
    merged = certain[found]
    for labels in sorted({labels for labels in classes if len(labels) > 1}):
        chosen = np.isin(found, [number for number, own in enumerate(classes) if own == labels])
        if chosen.any():
            merged[chosen] = nearest_label(merged, chosen, labels, joints)
    return merged


def nearest_label(
    merged: LabelArray, chosen: np.ndarray, labels: tuple[Label, ...], joints: JointArray | None
) -> UInt8[np.ndarray, "n"]:
    """For each chosen pixel the one of `labels` that is nearest in the map or by its bones; background without any."""
    yx = np.argwhere(chosen).astype(np.float32)
    away = np.stack([np.minimum(_to_pixels(merged, chosen, label), _to_bones(yx, label, joints)) for label in labels])
    nearest = np.array(labels, np.uint8)[away.argmin(0)]
    nearest[np.isinf(away.min(0))] = Label.BACKGROUND
    return nearest


def _to_pixels(merged: LabelArray, chosen: np.ndarray, label: Label) -> Float[np.ndarray, "n"]:
    """Distance of each chosen pixel to the next one that has the label; infinite without any."""
    if not (merged == label).any():
        return np.full(int(chosen.sum()), np.inf, np.float32)
    return cv2.distanceTransform((merged != label).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[chosen]


def _to_bones(yx: np.ndarray, label: Label, joints: JointArray | None) -> Float[np.ndarray, "n"]:
    """Distance of points (y, x) to the label's bones; a bone with one end seen is that end."""
    away = np.full(len(yx), np.inf, np.float32)
    if joints is None:
        return away
    for ends in BONES[label]:
        seen = [joints[end, 1::-1] for end in ends if joints[end, 2] > 0]
        if seen:
            away = np.minimum(away, _to_line(yx, seen[0], seen[-1]))
    return away


def _to_line(yx: np.ndarray, start: np.ndarray, end: np.ndarray) -> Float[np.ndarray, "n"]:
    along = end - start
    share = np.clip((yx - start) @ along / max(float(along @ along), 1e-6), 0, 1)
    return np.linalg.norm(yx - start - share[:, None] * along, axis=1).astype(np.float32)
