"""A posed body painted part by part, far to near: legs, lower garment, torso, neck, head and arms as they overlap.

Every part is a smooth outline around the projected bones, wide enough to join its neighbours. The trunk is a stack of
elliptical cross-sections, so that it narrows as it turns. A part's pattern is laid along the part itself.
"""

import cv2
import numpy as np

from spt_dist.body import Joint
from spt_dist.data.synthetic_look import Colour, Fabric, Look
from spt_dist.data.synthetic_paint import Canvas, Piece, capsule, smooth, vector
from spt_dist.data.synthetic_skeleton import ARMS, LEGS, Build, Skeleton

ARM_RADII = (0.032, 0.029, 0.023)  # shoulder, elbow, wrist, in standing heights
LEG_RADII = (0.056, 0.041, 0.030)  # hip, knee, ankle
# Where along the spine (0 hips, 1 shoulder line), half width against the joints' own, half depth in standing heights.
TRUNK = ((-0.16, 1.62, 0.060), (0.06, 1.62, 0.062), (0.42, 1.0, 0.050), (0.74, 0.98, 0.060), (0.93, 1.14, 0.046))
COLLAR = (1.07, 0.45, 0.03)


class Figure:
    """One person in one pose, placed on a canvas: `skeleton` is in canvas px."""

    def __init__(self, canvas: Canvas, build: Build, look: Look, skeleton: Skeleton):
        self.canvas, self.build, self.look, self.skeleton = canvas, build, look, skeleton
        self.px = skeleton.scale  # canvas px of one standing height
        self.xy = skeleton.joints[:, :2]
        self.hips = (self.xy[Joint.R_HIP] + self.xy[Joint.L_HIP]) / 2
        self.facing = -float(skeleton.chest_axes[1, 2])  # 1 towards the camera, -1 away
        self.chest_shift = self._pattern_shift(skeleton.chest_axes[1])
        self.hip_shift = self._pattern_shift(skeleton.hip_axes[1])

    def _pattern_shift(self, forward: np.ndarray) -> float:
        """By how many px a trunk's pattern moves across it as its front turns."""
        return -float(np.arctan2(forward[0], -forward[2])) * 0.1 * self.px

    def paint_lower_body(self) -> None:
        """Legs, shoes, and pants or skirt, the farther leg first."""
        knees = self.skeleton.joints[[leg[1] for leg in LEGS], 2]
        ankles = self.skeleton.joints[[leg[2] for leg in LEGS], 2]
        order = np.argsort(-(knees + ankles))
        for side in order:
            self._leg(int(side))
        if self.look.lower == "pants":
            trunk = self._trunk(-0.16, 0.34)
            near = (Piece.R_PANTS, Piece.L_PANTS)[order[1]]
            self._cloth(
                near, smooth(trunk), self.look.lower_fabric, self.hips, self.hips + vector(0, 1), 0, self.hip_shift
            )
        elif self.look.lower == "skirt" and not self.look.tucked:
            self._skirt(Piece.SKIRT, self.look.lower_fabric, self.look.lower_length, self.look.flare, 0.3)

    def paint_trunk(self) -> None:
        """The upper garment, with what falls below the hips, opens in front or is printed on the chest."""
        look, neck = self.look, self.xy[Joint.NECK]
        if look.hem > 0.2:
            self._skirt(Piece.TORSO, look.upper, look.hem, look.flare if look.lower == "none" else 0.2, 0.5)
        top = smooth(self._trunk(0.1 if look.tucked else -0.05 - look.hem * 0.6, 1.0))
        self._cloth(Piece.TORSO, top, look.upper, neck, self.hips, 0, self.chest_shift)
        if look.lower == "skirt" and look.tucked:
            self._skirt(Piece.SKIRT, look.lower_fabric, look.lower_length, look.flare, 0.3)
        if self.facing > 0.25:
            self._front(neck)

    def paint_neck(self) -> None:
        """The neck, deeper in front than behind."""
        depth = max(self.look.neckline, 0) if self.facing > 0 else -0.02
        neck, head = self.xy[Joint.NECK], self.skeleton.head[:2]
        forward = self.skeleton.chest_axes[1][0] * 0.02 * self.px
        low = neck + vector(forward, depth * self.px)
        self._cloth(Piece.NECK, capsule(head, low, 0.03 * self.px, 0.034 * self.px), _darker(self.look.skin), head, low)

    def arm_is_behind(self, side: int) -> bool:
        """Whether an arm passes behind the trunk."""
        _, elbow, wrist = ARMS[side]
        depth = self.skeleton.joints[:, 2]
        return bool(0.3 * depth[elbow] + 0.7 * depth[wrist] - 0.5 * depth[Joint.NECK] > 0.05 * self.px)

    def paint_arm(self, side: int) -> None:
        """An arm: skin to the hand, then its sleeve."""
        shoulder, elbow, wrist = (self.xy[joint] for joint in ARMS[side])
        skin, sleeve = ((Piece.R_ARM, Piece.R_SLEEVE), (Piece.L_ARM, Piece.L_SLEEVE))[side]
        radii = np.array(ARM_RADII) * self.px * self.build.girth
        palm, width = self.skeleton.hands[side, :2], 0.024 * self.px
        self._cloth(skin, capsule(wrist, palm, width * 0.9, width), self.look.skin, wrist, palm)
        self._limb(skin, self.look.skin, (shoulder, elbow, wrist), radii, 1.0)
        if self.look.sleeve > 0:
            self._limb(
                sleeve, self.look.upper, (shoulder, elbow, wrist), radii * 1.16 + 0.002 * self.px, self.look.sleeve
            )

    def _leg(self, side: int) -> None:
        hip, knee, ankle = (self.xy[joint] for joint in LEGS[side])
        skin, shoe, pants = (
            (Piece.R_LEG, Piece.R_SHOE, Piece.R_PANTS),
            (Piece.L_LEG, Piece.L_SHOE, Piece.L_PANTS),
        )[side]
        look, radii = self.look, np.array(LEG_RADII) * self.px * self.build.girth**0.8
        self._limb(skin, look.skin, (hip, knee, ankle), radii, 1.0)
        toe = self.skeleton.toes[side, :2]
        heel = ankle + vector(0, 0.014 * self.px)
        self._cloth(shoe, capsule(heel, toe, 0.027 * self.px, 0.023 * self.px), look.shoes, heel, toe)
        if look.lower == "pants":
            wide = radii * (1.08, 1.1 + 0.25 * look.flare, 1.15 + 0.55 * look.flare)
            self._limb(
                pants, look.lower_fabric, (hip, knee, ankle + vector(0, 0.006 * self.px)), wide, look.lower_length
            )

    def _limb(
        self, piece: Piece, cloth: Fabric | Colour, points: tuple[np.ndarray, ...], radii: np.ndarray, share: float
    ) -> None:
        """A limb of two bones, covered from its upper end over `share` of its length."""
        start, middle, end = points
        upper, lower = float(np.hypot(*(middle - start))), float(np.hypot(*(end - middle)))
        first = min(share * 2, 1.0)
        stop, cut = start + (middle - start) * first, 1.0 if share > 0.5 else 0.25
        radius = radii[0] + (radii[1] - radii[0]) * first
        if share > 0.5:
            second = min(share * 2 - 1, 1.0)
            tip, tip_radius = middle + (end - middle) * second, radii[1] + (radii[2] - radii[1]) * second
            outline = capsule(middle, tip, radii[1], tip_radius, 0.25)
            self._cloth(piece, outline, cloth, middle, tip if lower > 1 else middle + vector(0, 1), upper)
        self._cloth(
            piece,
            capsule(start, stop, radii[0], radius, cut),
            cloth,
            start,
            middle if upper > 1 else start + vector(0, 1),
        )

    def _trunk(self, bottom: float, top: float) -> np.ndarray:
        """The outline of the trunk between two heights along the spine (0 hips, 1 shoulder line and collar)."""
        build, skeleton = self.build, self.skeleton
        spine = self.xy[Joint.NECK] - self.hips
        across = np.array([-spine[1], spine[0]]) / max(float(np.hypot(*spine)), 1e-6)
        heights, widths, depths = np.array(TRUNK).T
        own = np.array([build.hip, build.hip, build.shoulder * build.waist * 0.82, build.shoulder, build.shoulder])
        ts = np.unique(np.concatenate([[bottom, min(top, 0.93)], heights[(heights > bottom) & (heights < top)]]))
        width = np.interp(ts, heights, widths * own) * self.px
        depth = np.interp(ts, heights, depths) * self.px * build.girth
        mix = np.clip(ts, 0, 1)[:, None]
        (hip_left, hip_front), (chest_left, chest_front) = skeleton.hip_axes, skeleton.chest_axes
        left, front = (1 - mix) * hip_left + mix * chest_left, (1 - mix) * hip_front + mix * chest_front
        half = np.sqrt((width * left[:, 0]) ** 2 + (depth * front[:, 0]) ** 2)
        if top >= 1:
            ts, half = np.append(ts, COLLAR[0]), np.append(half, COLLAR[1] * build.shoulder * self.px * 0.9)
        centres = self.hips + ts[:, None] * spine
        return np.concatenate([centres + half[:, None] * across, (centres - half[:, None] * across)[::-1]])

    def _skirt(self, piece: Piece, fabric: Fabric, length: float, flare: float, top: float) -> None:
        """A garment around both legs: the smallest convex outline over the hips and the covered part of each leg."""
        corners = [self._trunk(-0.1, top)]
        for leg in LEGS:
            hip, knee, ankle = (self.xy[joint] for joint in leg)
            stop = hip + (knee - hip) * min(length * 2, 1)
            corners.append(capsule(hip, stop, *self._thigh_cover(min(length * 2, 1.0))))
            if length > 0.5:
                stop = knee + (ankle - knee) * (length * 2 - 1)
            half = (0.045 + 0.045 * flare) * self.px
            corners.append(np.array([stop + vector(half, 0), stop - vector(half, 0)]))
        outline = cv2.convexHull(np.concatenate(corners).astype(np.float32))[:, 0]
        waist = self.xy[Joint.NECK] if piece is Piece.TORSO else self.hips
        along = float(np.hypot(*(self.hips - waist)))
        hem = self.hips + vector(0, 1) if along == 0 else self.hips
        self._cloth(piece, outline, fabric, waist, hem, 0, self.hip_shift if along == 0 else self.chest_shift)

    def _thigh_cover(self, share: float) -> tuple[float, float]:
        """Radii in px that hide a thigh, and pants on it, at the hip and at `share` of its length."""
        hip, knee = np.array(LEG_RADII[:2]) * 1.14 * self.build.girth**0.8 * self.px
        return hip, hip + (knee - hip) * share

    def _front(self, neck: np.ndarray) -> None:
        """An open coat's inside, or the motif on the chest: colour alone, the piece beneath stays."""
        sideways = float(self.skeleton.chest_axes[1][0])
        spine = self.hips - neck
        if self.look.opening is not None:
            shift = np.array([sideways * 0.05 * self.px, 0])
            width = 0.032 * self.px * self.facing
            low = self.hips + shift + spine * 0.12
            wedge = np.array(
                [
                    neck + shift - vector(width, 0),
                    neck + shift + vector(width, 0),
                    low + vector(width * 1.3, 0),
                    low - vector(width * 1.3, 0),
                ]
            )
            self.canvas.colour(wedge, self.look.opening, Piece.TORSO)
        elif self.look.motif is not None:
            shape, colour = self.look.motif
            centre = neck + spine * 0.42 + vector(sideways * 0.055 * self.px, 0)
            corners = {"disc": 16, "box": 4, "star": 10}[shape]
            turn = np.linspace(0, 2 * np.pi, corners, endpoint=False) + (np.pi / 4 if shape == "box" else np.pi / 2)
            radius = np.where(np.arange(corners) % 2, 0.5, 1.1) if shape == "star" else np.ones(corners)
            outline = np.stack([np.cos(turn) * self.facing, -np.sin(turn)], -1) * radius[:, None] * 0.045 * self.px
            self.canvas.colour(centre + outline, colour, Piece.TORSO)

    def _cloth(
        self, piece: Piece, outline: np.ndarray, cloth: Fabric | Colour, start: np.ndarray, end: np.ndarray,
        along_px: float | int = 0.0, across_px: float | int = 0.0,
    ) -> None:  # fmt: skip
        self.canvas.paint(piece, outline, cloth, start, end, self.px, along_px, across_px)


def _darker(colour: Colour) -> Colour:
    red, green, blue = (round(c * 0.9) for c in colour)
    return red, green, blue
