"""A pose as JSON: how a person's joints are written down, and the one parser that reads them.

The JSON is a list of 18 joints in the order of `body.Joint`, or an object `{"joints": list, "size": [height, width]}`.
A joint is `[x, y]`, `[x, y, visible]` or null, in px of its picture; whatever is not visible becomes `body.MISSING`.
Files (`person`) and the endpoint (`serve.request`) both read poses here, so that both take and refuse the same.
Refusals are fragments, "holds 17 joints; ...": the caller puts the name of its file or field in front.
"""

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from spt_dist.body import MISSING, Joint

MAX_COORDINATE_PX = 10_000  # one joint far outside its photo would have the frame padded to gigabytes

Pose = Float32[np.ndarray, "18 3"]


class Keypoints(NamedTuple):
    """Joints (x_px, y_px, visible), and the size (height, width) of their picture where the text says it."""

    joints: Pose
    size: tuple[int, int] | None


def parse_pose(text: str) -> Keypoints:
    """One pose from JSON text.

    Raises:
        ValueError: not JSON, another number of joints, a value that is no finite number, or no visible joint.
    """
    return pose_from_tree(load_json(text))


def load_json(text: str) -> Any:
    """What the JSON text holds; `ValueError` when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error}); give [[x, y, visible], null, ...]") from None


def pose_from_tree(tree: Any) -> Keypoints:
    """One pose from what its JSON holds; `ValueError` as for `parse_pose`."""
    size, rows = None, tree
    if isinstance(tree, dict) and "joints" in tree:
        size, rows = _read_size(tree.get("size")), tree["joints"]
    if not isinstance(rows, list) or len(rows) != len(Joint):
        found = f"{len(rows)} joints" if isinstance(rows, list) else f"a JSON {type(rows).__name__}"
        raise ValueError(f"holds {found}; give a list of {len(Joint)} joints, each [x, y, visible] or null")
    joints = np.stack([_read_joint(joint, row) for joint, row in zip(Joint, rows, strict=True)])
    if not joints[:, 2].any():
        raise ValueError("has no visible joint; at least one entry must be [x, y, 1]")
    return Keypoints(joints, size)


def interpolate(poses: Sequence[Pose], between: int) -> list[Pose]:
    """The poses with `between` further ones from each to the next: joints seen in both move on straight lines.

    A joint seen in one of the two only stays with the nearer one.
    """
    steps = between + 1
    moving = [_mix(first, second, step / steps) for first, second in pairwise(poses) for step in range(steps)]
    return [*moving, *poses[-1:]]


def _mix(first: Pose, second: Pose, share: float) -> Pose:
    both = (first[:, 2:] > 0) & (second[:, 2:] > 0)
    return np.where(both, (1 - share) * first + share * second, first if share < 0.5 else second).astype(np.float32)


def joint_name(joint: Joint) -> str:
    """A joint as messages name it."""
    return f"joint {int(joint)} ({joint.name.lower()})"


def _read_joint(joint: Joint, row: Any) -> Float[np.ndarray, "3"]:
    missing = np.array(MISSING, np.float32)
    if row is None:
        return missing
    name = joint_name(joint)
    if not isinstance(row, list) or len(row) not in (2, 3) or not all(isinstance(value, int | float) for value in row):
        raise ValueError(f"{name} is {_shorten(row)}; a joint is [x, y], [x, y, visible] or null")
    xy, visible = row[:2], row[2] if len(row) == 3 else 1
    if visible not in (0, 1):
        raise ValueError(f"{name} has visible = {_shorten(visible)}; give 1 (visible) or 0 (missing)")
    if not visible:
        return missing
    # Comparing first: an integer of 400 digits has no float.
    if not all(-MAX_COORDINATE_PX <= value <= MAX_COORDINATE_PX and math.isfinite(value) for value in xy):
        limit = f"finite numbers up to {MAX_COORDINATE_PX:,} px"
        raise ValueError(f"{name} lies at {_shorten(xy)}; coordinates are {limit}")
    return np.array([*xy, 1], np.float32)


def _read_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
        height, width = size
        if 1 <= height <= MAX_COORDINATE_PX and 1 <= width <= MAX_COORDINATE_PX:
            return height, width
    sides = f"[height, width] in px, 1 to {MAX_COORDINATE_PX:,}"
    raise ValueError(f"has size = {_shorten(size)}; give {sides}, or leave it out")


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
