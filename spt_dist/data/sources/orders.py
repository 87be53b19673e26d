"""Orders of joints, by name, and the way from each to ours.

The field's annotation files hold OpenPose's COCO order: in them the 15th and the 17th joint are the person's *right*
eye and ear. Published code, and `body.Joint` after it, calls these two left; the numbers say otherwise: of 13,322
published rows with both ears and both shoulders, all but 32 have the 17th joint on the side of the right shoulder. What
goes by number is the same either way; what is converted from another order goes by the names here, the person's own.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spt_dist.body import MISSING, Joint
from spt_dist.data.schema import JointArray

FIELD = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip

NECK_BETWEEN = ("left shoulder", "right shoulder")  # where an order has no neck: their middle, where both are seen


class Order(NamedTuple):
    """How a pose estimator lists its joints.

    A joint is seen where its confidence is above `seen_above`; with `fractions` coordinates are shares of the photo's
    width and height instead of px.
    """

    joints: tuple[str, ...]
    seen_above: float
    fractions: bool = False


ORDERS = {
    "spt": Order(FIELD, 0.0),
    "drawn": Order((*FIELD[:14], "left eye", "right eye", "left ear", "right ear"), 0.0),  # of `spt draw people`
    "openpose-18": Order(FIELD, 0.1),
    "openpose-25": Order(
        (
            "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow",
            "left wrist", "middle hip", "right hip", "right knee", "right ankle", "left hip", "left knee",
            "left ankle", "right eye", "left eye", "right ear", "left ear", "left big toe", "left small toe",
            "left heel", "right big toe", "right small toe", "right heel",
        ),
        0.1,
    ),
    "coco-17": Order(
        (
            "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
            "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee",
            "left ankle", "right ankle",
        ),
        0.0,
    ),
    "mediapipe-33": Order(
        (
            "nose", "left eye inner", "left eye", "left eye outer", "right eye inner", "right eye", "right eye outer",
            "left ear", "right ear", "mouth left", "mouth right", "left shoulder", "right shoulder", "left elbow",
            "right elbow", "left wrist", "right wrist", "left pinky", "right pinky", "left index", "right index",
            "left thumb", "right thumb", "left hip", "right hip", "left knee", "right knee", "left ankle",
            "right ankle", "left heel", "right heel", "left foot index", "right foot index",
        ),
        0.5,
        fractions=True,
    ),
}  # fmt: skip


def to_field(points: Float[np.ndarray, "n 3"], order: str) -> JointArray:
    """Points (x, y, confidence) in the named order as our 18 joints; a seen one has visible 1, any other is missing.

    Coordinates keep their unit. `points` must be as many as the order has joints.
    """
    listed = ORDERS[order]
    assert len(points) == len(listed.joints), f"{len(points)} points for an order of {len(listed.joints)}"
    seen = (points[:, 2] > listed.seen_above) & np.isfinite(points).all(1)
    by_name = {name: xy for name, xy, visible in zip(listed.joints, points[:, :2], seen, strict=True) if visible}
    if "neck" not in listed.joints and all(side in by_name for side in NECK_BETWEEN):
        by_name["neck"] = (by_name[NECK_BETWEEN[0]] + by_name[NECK_BETWEEN[1]]) / 2
    joints = np.full((len(Joint), 3), MISSING, np.float32)
    for place, name in enumerate(FIELD):
        if name in by_name:
            joints[place] = (*by_name[name], 1)
    return joints
