"""The body as data: joints, parsing labels, warp parts, limbs, flips.

Every loop over joints, labels or parts ranges over one of these tables; their order is the order of the
published SPT data (the last four joints are left eye, right eye, left ear, right ear: OpenPose swaps them).
"""

from enum import IntEnum
from typing import NamedTuple


class Joint(IntEnum):
    """The 18 keypoints, in the order of the annotation files."""

    NOSE = 0
    NECK = 1
    R_SHOULDER = 2
    R_ELBOW = 3
    R_WRIST = 4
    L_SHOULDER = 5
    L_ELBOW = 6
    L_WRIST = 7
    R_HIP = 8
    R_KNEE = 9
    R_ANKLE = 10
    L_HIP = 11
    L_KNEE = 12
    L_ANKLE = 13
    L_EYE = 14
    R_EYE = 15
    L_EAR = 16
    R_EAR = 17


MISSING = (-1.0, -1.0, 0.0)  # a joint that is not seen, as (x_px, y_px, visible)


class Label(IntEnum):
    """The ten labels of a parsing map."""

    BACKGROUND = 0
    FACE = 1
    HAIR = 2
    UPPER = 3
    PANTS = 4
    SKIRT = 5
    L_ARM = 6
    R_ARM = 7
    L_LEG = 8
    R_LEG = 9


FOREGROUND_LABELS = tuple(label for label in Label if label is not Label.BACKGROUND)
STYLE_LABELS = tuple(label for label in FOREGROUND_LABELS if label is not Label.FACE)
CLOTHING_LABELS = (Label.UPPER, Label.PANTS, Label.SKIRT)

HEAD_JOINTS = (Joint.NOSE, Joint.L_EYE, Joint.R_EYE, Joint.L_EAR, Joint.R_EAR)
TORSO_JOINTS = (Joint.R_HIP, Joint.L_HIP, Joint.L_SHOULDER, Joint.R_SHOULDER)


class WarpPart(NamedTuple):
    """A rigid part of the part-wise warp. Limbs run from joint `upper` to joint `lower`.

    `mask_extension` and `fit_extension` lengthen a limb's quadrilateral beyond `lower`, as a fraction of its length;
    `mirror` is the same limb of the other side, which stands in when the source's own is missing.
    """

    name: str
    upper: Joint | None = None
    lower: Joint | None = None
    mask_extension: float = 0.0
    fit_extension: float = 0.0
    mirror: str = ""


WARP_PARTS = (
    WarpPart("body"),
    WarpPart("head"),
    WarpPart("right thigh", Joint.R_HIP, Joint.R_KNEE, 0.1, 0.1, "left thigh"),
    WarpPart("left thigh", Joint.L_HIP, Joint.L_KNEE, 0.1, 0.1, "right thigh"),
    WarpPart("right shin", Joint.R_KNEE, Joint.R_ANKLE, 0.5, 0.3, "left shin"),
    WarpPart("left shin", Joint.L_KNEE, Joint.L_ANKLE, 0.5, 0.3, "right shin"),
    WarpPart("right upper arm", Joint.R_SHOULDER, Joint.R_ELBOW, 0.1, 0.1, "left upper arm"),
    WarpPart("left upper arm", Joint.L_SHOULDER, Joint.L_ELBOW, 0.1, 0.1, "right upper arm"),
    WarpPart("right forearm", Joint.R_ELBOW, Joint.R_WRIST, 0.5, 0.3, "left forearm"),
    WarpPart("left forearm", Joint.L_ELBOW, Joint.L_WRIST, 0.5, 0.3, "right forearm"),
)
PART_INDEX = {part.name: index for index, part in enumerate(WARP_PARTS)}


def _swap_sides(name: str) -> str:
    """`L_KNEE` -> `R_KNEE` and back; names without a side stay."""
    return {"L_": "R_", "R_": "L_"}.get(name[:2], name[:2]) + name[2:]


FLIP_JOINTS = tuple(Joint[_swap_sides(joint.name)] for joint in Joint)
FLIP_LABELS = tuple(Label[_swap_sides(label.name)] for label in Label)

# The 23 limbs of the pose mask by which the field computes masked SSIM and masked IS.
MASK_LIMBS = (
    (Joint.NECK, Joint.R_SHOULDER), (Joint.NECK, Joint.L_SHOULDER),
    (Joint.R_SHOULDER, Joint.R_ELBOW), (Joint.R_ELBOW, Joint.R_WRIST),
    (Joint.L_SHOULDER, Joint.L_ELBOW), (Joint.L_ELBOW, Joint.L_WRIST),
    (Joint.NECK, Joint.R_HIP), (Joint.R_HIP, Joint.R_KNEE), (Joint.R_KNEE, Joint.R_ANKLE),
    (Joint.NECK, Joint.L_HIP), (Joint.L_HIP, Joint.L_KNEE), (Joint.L_KNEE, Joint.L_ANKLE),
    (Joint.NECK, Joint.NOSE),
    (Joint.NOSE, Joint.L_EYE), (Joint.L_EYE, Joint.L_EAR),
    (Joint.NOSE, Joint.R_EYE), (Joint.R_EYE, Joint.R_EAR),
    (Joint.NECK, Joint.L_EAR), (Joint.NECK, Joint.R_EAR),
    (Joint.R_HIP, Joint.L_HIP), (Joint.L_HIP, Joint.L_SHOULDER),
    (Joint.R_HIP, Joint.R_SHOULDER), (Joint.L_EAR, Joint.R_EAR),
)  # fmt: skip

# How a parsing map is drawn for people to look at: RGB per label.
LABEL_COLOURS = (
    (255, 255, 255),
    (255, 205, 170),
    (90, 60, 40),
    (214, 69, 65),
    (52, 101, 190),
    (186, 85, 190),
    (243, 196, 60),
    (64, 196, 196),
    (60, 150, 80),
    (150, 210, 100),
)
