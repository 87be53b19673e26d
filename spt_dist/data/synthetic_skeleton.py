"""A skeleton of 18 joints in space: bone lengths, poses, and what a camera sees of them.

The body's own axes are (left, down, forward); a pose turns them by a yaw angle (0 faces the camera, +90 degrees faces
the image's right, 180 shows the back) and the camera looks slightly down. Points are (x right, y down, z away from the
camera), in heights of the person until `Skeleton.placed` brings them to pixels. Angles are radians.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spt_dist.body import Joint

SIDES = (-1.0, 1.0)  # right, left: the order of every pair below
ARMS = ((Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST), (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST))
LEGS = ((Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE), (Joint.L_HIP, Joint.L_KNEE, Joint.L_ANKLE))
EYES = (Joint.R_EYE, Joint.L_EYE)
EARS = (Joint.R_EAR, Joint.L_EAR)
HEAD_WIDTH = 0.84  # of the head's height
EYE_AZIMUTH = 0.50
ANKLE_HEIGHT = 0.035


@dataclass(frozen=True)
class Build:
    """Bone lengths, as fractions of the standing height (head to sole is 1), and how wide the body is."""

    stature: float  # share of the picture's height that the standing person takes
    head: float  # half height of the head
    neck: float  # chin to shoulder line
    torso: float  # shoulder line to hip line
    shoulder: float  # half widths
    hip: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    girth: float  # factor on every thickness
    waist: float  # the waist's width against the chest's


class Limb(NamedTuple):
    """Directions of an arm's or leg's two bones: `out` away from the body's middle, `forward` to its front; 0 hangs."""

    out: float
    forward: float
    lower_out: float
    lower_forward: float


@dataclass(frozen=True)
class Pose:
    """How a body stands and where it looks; any person can take it. Pairs are (right, left)."""

    name: str
    yaw: float
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    lean: float = 0.0  # of the spine, forward
    roll: float = 0.0  # of the spine, to the person's left
    twist: float = 0.0  # of the shoulders against the hips
    head_turn: float = 0.0  # of the head against the shoulders
    camera_pitch: float = 0.1
    shift: tuple[float, float] = (0.0, 0.0)  # place in the free room of the picture, -1 to 1 in x and y

    @property
    def view(self) -> str:
        """`front`, `side` or `back`: what the camera sees of the body."""
        facing = np.cos(self.yaw)
        return "front" if facing > 0.5 else "back" if facing < -0.5 else "side"


class Skeleton(NamedTuple):
    """A posed body: points are [..., 3] (x, y, z); the unit vectors say where its left and its front point."""

    joints: np.ndarray  # [18, 3]
    head: np.ndarray
    hands: np.ndarray  # [2, 3]
    toes: np.ndarray  # [2, 3]
    hip_axes: np.ndarray  # [2, 3] left and forward
    chest_axes: np.ndarray
    head_axes: np.ndarray
    scale: float = 1.0  # length of one standing height

    def placed(self, scale: float, offset: np.ndarray) -> "Skeleton":
        """Scale all points, then move them by `offset` (x, y)."""
        move = np.array([offset[0], offset[1], 0.0])
        return self._replace(
            joints=self.joints * scale + move,
            head=self.head * scale + move,
            hands=self.hands * scale + move,
            toes=self.toes * scale + move,
            scale=self.scale * scale,
        )

    def bounds(self, build: Build) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and largest (x, y) that the body covers, flesh included."""
        points = np.concatenate([self.joints, self.hands, self.toes, self.head[None]])[:, :2]
        reach = np.full((len(points), 2), 0.04 * build.girth)
        reach[18:20] = 0.026
        reach[20:22] = 0.026
        reach[-1] = build.head * 1.15
        return (points - reach * self.scale).min(0), (points + reach * self.scale).max(0)


def sample_build(rng: np.random.Generator) -> Build:
    """Draw the bones of a new person."""
    vary = lambda mean, spread: float(mean * rng.uniform(1 - spread, 1 + spread))  # noqa: E731
    lengths = {"head": vary(0.086, 0.06), "neck": vary(0.036, 0.25), "torso": vary(0.275, 0.06)}
    lengths |= {"thigh": vary(0.225, 0.05), "shin": vary(0.215, 0.05)}
    total = 2 * lengths["head"] + sum(lengths[k] for k in ("neck", "torso", "thigh", "shin")) + ANKLE_HEIGHT
    lengths |= {"upper_arm": vary(0.155, 0.06), "forearm": vary(0.135, 0.06)}
    girth = float(np.clip(rng.normal(1.05, 0.12), 0.85, 1.4))
    widths = {"shoulder": vary(0.098, 0.1) * girth**0.5, "hip": vary(0.055, 0.1) * girth**0.5}
    stature, waist = float(rng.uniform(0.86, 0.91)), float(rng.uniform(0.72, 0.98))
    lengths = {name: length / total for name, length in lengths.items()}
    return Build(stature=stature, girth=girth, waist=min(1.05, waist * girth**0.5), **lengths, **widths)


def _rotation(angle: float, axis: str) -> np.ndarray:
    """The [3, 3] rotation of (left, down, forward): `yaw` turns forward to the left, `lean` tips the top forward."""
    c, s = np.cos(angle), np.sin(angle)
    if axis == "yaw":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    if axis == "lean":
        return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])  # roll: the top to the left


def _camera(pose: Pose) -> np.ndarray:
    """The [3, 3] matrix from the body's axes to the camera's (x right, y down, z away)."""
    c, s = np.cos(pose.camera_pitch), np.sin(pose.camera_pitch)
    look = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([1.0, 1.0, -1.0])
    return look @ _rotation(pose.yaw, "yaw")


def _bones(limb: Limb, side: float) -> np.ndarray:
    """Unit vectors [2, 3] of a limb's upper and lower bone."""
    out, forward = np.array([limb.out, limb.lower_out]), np.array([limb.forward, limb.lower_forward])
    return np.stack([side * np.sin(out) * np.cos(forward), np.cos(out) * np.cos(forward), np.sin(forward)], -1)


def pose_body(build: Build, pose: Pose) -> Skeleton:
    """The skeleton of `build` in `pose`, in standing heights, hips at the origin."""
    joints = np.zeros((18, 3))
    spine = _rotation(pose.lean, "lean") @ _rotation(pose.roll, "roll")
    chest = spine @ _rotation(pose.twist, "yaw")
    skull = _rotation(pose.lean * 0.5, "lean") @ _rotation(pose.twist + pose.head_turn, "yaw")
    neck = joints[Joint.NECK] = spine @ (0, -build.torso, 0)
    hands, toes = np.zeros((2, 3)), np.zeros((2, 3))
    for i, side in enumerate(SIDES):
        shoulder, elbow, wrist = ARMS[i]
        upper, lower = _bones(pose.arms[i], side)
        joints[shoulder] = neck + chest @ (side * build.shoulder, 0.024, 0)
        joints[elbow] = joints[shoulder] + chest @ upper * build.upper_arm
        joints[wrist] = joints[elbow] + chest @ lower * build.forearm
        hands[i] = joints[wrist] + chest @ lower * 0.03
        hip, knee, ankle = LEGS[i]
        upper, lower = _bones(pose.legs[i], side)
        joints[hip] = (side * build.hip, 0, 0)
        joints[knee] = joints[hip] + upper * build.thigh
        joints[ankle] = joints[knee] + lower * build.shin
        tip = pose.legs[i].lower_forward
        toes[i] = joints[ankle] + (side * 0.02, ANKLE_HEIGHT * 0.5 * np.cos(tip) - 0.05 * np.sin(tip), 0.075)
    head = neck + spine @ (0, -build.neck - build.head, 0)
    width = build.head * HEAD_WIDTH
    joints[Joint.NOSE] = head + skull @ (0, 0.10 * build.head, width * 1.05)
    for i, side in enumerate(SIDES):
        eye = (side * np.sin(EYE_AZIMUTH) * width, -0.12 * build.head, np.cos(EYE_AZIMUTH) * width)
        joints[EYES[i]] = head + skull @ eye
        joints[EARS[i]] = head + skull @ (side * width * 0.95, 0.0, 0.0)
    m = _camera(pose)
    hip_axes, chest_axes, head_axes = ((m @ frame)[:, [0, 2]].T for frame in (np.eye(3), chest, skull))
    return Skeleton(joints @ m.T, m @ head, hands @ m.T, toes @ m.T, hip_axes, chest_axes, head_axes)


def seen_head_joints(skeleton: Skeleton) -> dict[Joint, bool]:
    """Which of nose, eyes and ears the head itself leaves in sight: none of the face from behind."""
    left, forward = skeleton.head_axes
    facing, sideways = (
        -float(forward[2]),
        -float(left[2]),
    )  # 1 where forward, or the person's left, points at the camera
    seen = {Joint.NOSE: facing > -0.1}
    for i, side in enumerate(SIDES):
        towards = float(np.cos(EYE_AZIMUTH) * facing + np.sin(EYE_AZIMUTH) * side * sideways)
        seen[EYES[i]] = facing > -0.2 and towards > 0.15
        seen[EARS[i]] = side * sideways > -0.35
    return seen
