"""A head from any side: skull, hair of a style, the part of the face that the camera sees, eyes where it sees them.

Hair that falls lies behind the trunk when the person faces the camera, and over it when they turn their back; beside
the face it never reaches under the chin, where it would read as a beard.
"""

import numpy as np

from spt_dist.body import Joint
from spt_dist.data.synthetic_look import Colour, Look
from spt_dist.data.synthetic_paint import SUPERSAMPLING, Canvas, Piece, capsule, ellipse, vector
from spt_dist.data.synthetic_skeleton import EARS, EYES, HEAD_WIDTH, Build, Skeleton, seen_head_joints

FALLING = ("long", "bob")
FACE_REACH = np.radians(66)  # how far the face extends around the head from its middle


class Head:
    """The head of a placed skeleton, painted in two steps: hair that falls, then everything else."""

    def __init__(self, canvas: Canvas, build: Build, look: Look, skeleton: Skeleton):
        self.canvas, self.look, self.skeleton = canvas, look, skeleton
        self.ry = build.head * skeleton.scale
        self.rx = self.ry * HEAD_WIDTH
        self.centre = skeleton.head[:2]
        forward = skeleton.head_axes[1]
        self.sideways, self.facing = float(forward[0]), -float(forward[2])  # 1: faces right; 1: faces the camera
        self.seen = seen_head_joints(skeleton)

    @property
    def hair_is_in_front(self) -> bool:
        """Whether falling hair covers the trunk: from the back and from the side."""
        return self.facing < 0.45

    def paint_falling_hair(self) -> None:
        """Long hair, a bob or a ponytail, down from the back of the head."""
        look, back = self.look, np.array([-self.sideways * self.rx, 0])
        if look.hair_style in FALLING:
            length = 0.75 if look.hair_style == "bob" else 1.0 + look.hair_length
            width = self.rx * (1.06 * abs(self.facing) + 0.56 * (1 - abs(self.facing)))
            top, low = (
                self.centre + back * 0.45 + vector(0, -0.2 * self.ry),
                self.centre + back * 0.55 + vector(0, length * self.ry),
            )
            self._paint(Piece.HAIR, capsule(top, low, width, width * 0.92, 0.35), look.hair)
        elif look.hair_style == "ponytail" and self.facing < 0.75:
            root = self.centre + back + vector(0, -0.25 * self.ry)
            tail = root + back * 0.5 + vector(0, (0.7 + 0.6 * look.hair_length) * self.ry)
            self._paint(Piece.HAIR, capsule(root, tail, 0.3 * self.rx, 0.2 * self.rx), look.hair)

    def paint(self) -> None:
        """Skull, hair, face, ears, and what lies in the face."""
        look = self.look
        skull = ellipse(self.centre, self.rx * 0.94, self.ry)
        self._paint(Piece.FACE, skull, look.skin)
        if look.hair_style != "bald":
            self._hair()
        self._face()
        if look.hair_style not in FALLING:
            for i in range(2):
                if (
                    self.seen[EARS[i]]
                    and self.facing > -0.25
                    and (abs(self.sideways) > 0.3 or look.hair_style == "bald")
                ):
                    ear = self.skeleton.joints[EARS[i], :2]
                    self._paint(Piece.FACE, ellipse(ear, 0.13 * self.ry, 0.2 * self.ry), _tinted(look.skin, 0.86))
        if self.facing > 0 or abs(self.sideways) > 0.9:
            self._features()
        if look.hair_style == "cap":
            self._cap()

    def _cap(self) -> None:
        """A cap over the hair, its peak where the person looks; parsing calls it hair, as photos' labels do."""
        crown = ellipse(
            self.centre - vector(0.1 * self.sideways * self.rx, 0.06 * self.ry), self.rx * 1.14, self.ry * 1.1
        )
        crown[:, 1] = np.minimum(crown[:, 1], self.centre[1] - 0.3 * self.ry)
        self._paint(Piece.HAIR, crown, self.look.cap)
        if self.facing < -0.2:
            return
        start = self.centre + vector(0.3 * self.sideways * self.rx, -0.38 * self.ry)
        tip = self.centre + vector(1.45 * self.sideways * self.rx, (-0.38 + 0.1 * self.facing) * self.ry)
        turned = abs(self.sideways) > 0.4
        peak = (
            capsule(start, tip, 0.1 * self.ry, 0.1 * self.ry)
            if turned
            else ellipse(start, 0.8 * self.rx, 0.14 * self.ry)
        )
        self._paint(Piece.HAIR, peak, _tinted(self.look.cap, 0.75))

    def _hair(self) -> None:
        """The hair on the skull: low at the nape, cut off above the jaw where the face is seen."""
        style, front = self.look.hair_style, max(self.facing, 0.0)
        size = {"afro": 1.4}.get(style, 1.09)
        limit = {"afro": 0.45}.get(style, 0.62 - 0.5 * front)
        if style in FALLING:
            limit = 0.85 if self.facing > 0.45 else 1.1
        middle = self.centre + vector(
            -self.sideways * self.rx * 0.1,
            -0.05 * self.ry - (0.1 * self.ry if style == "afro" else 0),
        )
        outline = ellipse(middle, self.rx * size, self.ry * size * 0.98)
        outline[:, 1] = np.minimum(outline[:, 1], self.centre[1] + limit * self.ry)
        self._paint(Piece.HAIR, outline, self.look.hair)
        if style == "bun":
            knot = self.centre + vector(-self.sideways * self.rx * 0.75, -1.12 * self.ry)
            self._paint(Piece.HAIR, ellipse(knot, 0.42 * self.rx, 0.36 * self.ry), self.look.hair)

    def _face(self) -> None:
        """The skin between the face's edges as far as they turn into sight."""
        turn = abs(float(np.arctan2(self.sideways, self.facing)))
        if turn - FACE_REACH > np.radians(60):
            return
        near = np.sin(turn - FACE_REACH) * 0.97
        far = np.sin(min(turn + FACE_REACH, np.pi / 2)) * 0.97
        side = 1.0 if self.sideways >= 0 else -1.0
        top = -0.62 + 0.3 * self.look.fringe if self.look.hair_style != "bald" else -0.8
        middle = self.centre + vector(side * (near + far) / 2 * self.rx, (1.0 + top) / 2 * self.ry)
        self._paint(Piece.FACE, ellipse(middle, (far - near) / 2 * self.rx, (1.0 - top) / 2 * self.ry), self.look.skin)
        if abs(self.sideways) > 0.5 and self.facing > -0.35:
            nose = self.skeleton.joints[Joint.NOSE, :2]
            self._paint(
                Piece.FACE,
                ellipse(nose - vector(side * 0.06 * self.rx, 0), 0.16 * self.rx, 0.14 * self.ry),
                self.look.skin,
            )

    def _features(self) -> None:
        """Eyes, mouth and glasses, in colour alone; never smaller than a px of the picture."""
        smallest = 0.55 * SUPERSAMPLING
        for eye in EYES:
            if self.seen[eye]:
                centre = self.skeleton.joints[eye, :2]
                radius = max(0.085 * self.ry, smallest)
                if self.look.glasses:
                    self.canvas.colour(
                        ellipse(centre, max(0.27 * self.rx, 1.4 * smallest), 0.2 * self.ry), (28, 28, 32), Piece.FACE
                    )
                    continue
                if self.ry > 10 * SUPERSAMPLING:
                    self.canvas.colour(ellipse(centre, radius * 1.9, radius * 1.15), (245, 242, 238), Piece.FACE)
                    brow = centre - vector(0, 0.24 * self.ry)
                    self.canvas.colour(
                        ellipse(brow, radius * 2.1, 0.035 * self.ry), _tinted(self.look.skin, 0.5), Piece.FACE
                    )
                self.canvas.colour(ellipse(centre, radius, max(radius, smallest * 1.15)), (36, 26, 24), Piece.FACE)
        nose = self.skeleton.joints[Joint.NOSE, :2]
        mouth = nose + vector(-0.12 * self.sideways * self.rx, 0.42 * self.ry)
        width = (0.1 + 0.18 * max(self.facing, 0)) * self.rx
        self.canvas.colour(ellipse(mouth, width, max(0.06 * self.ry, 0.8)), _lips(self.look.skin), Piece.FACE)
        if self.facing > 0.5:
            shade = ellipse(nose + vector(0.04 * self.rx, 0), 0.09 * self.rx, 0.09 * self.ry)
            self.canvas.colour(shade, _tinted(self.look.skin, 0.84), Piece.FACE)

    def _paint(self, piece: Piece, outline: np.ndarray, colour: Colour) -> None:
        self.canvas.paint(piece, outline, colour, self.centre, self.centre + vector(0, 1), self.skeleton.scale)


def _tinted(colour: Colour, factor: float) -> Colour:
    red, green, blue = (round(c * factor) for c in colour)
    return red, green, blue


def _lips(skin: Colour) -> Colour:
    return round(skin[0] * 0.8), round(skin[1] * 0.5), round(skin[2] * 0.52)
