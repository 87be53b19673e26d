"""A canvas on which pieces of a person are painted, each with its own identity, and the fabrics it is painted with.

The canvas has twice the picture's resolution. Beside the colours it keeps which piece lies on top at every pixel: that
map gives the parsing labels, says which joints are hidden, and tells where to darken the rims. Canvas coordinates are
continuous px of the large canvas: a point x of the picture is 2 x + 0.5 there.
"""

from enum import IntEnum
from functools import lru_cache

import cv2
import numpy as np

from spt_dist.body import Label
from spt_dist.data.synthetic_look import Colour, Fabric, Scene

SUPERSAMPLING = 2
NARROWEST_BAND_PX = 2  # of a pattern, in the finished picture
TILE_PX = 64
SUBPIXEL_BITS = 4


class Piece(IntEnum):
    """What lies on top at a pixel."""

    NOTHING = 0
    FACE = 1
    NECK = 2
    HAIR = 3
    TORSO = 4
    R_SLEEVE = 5
    L_SLEEVE = 6
    R_PANTS = 7
    L_PANTS = 8
    SKIRT = 9
    R_ARM = 10
    L_ARM = 11
    R_LEG = 12
    L_LEG = 13
    R_SHOE = 14
    L_SHOE = 15


PIECE_LABELS = np.zeros(256, np.uint8)
for _piece, _label in {
    Piece.FACE: Label.FACE, Piece.NECK: Label.FACE, Piece.HAIR: Label.HAIR,
    Piece.TORSO: Label.UPPER, Piece.R_SLEEVE: Label.UPPER, Piece.L_SLEEVE: Label.UPPER,
    Piece.R_PANTS: Label.PANTS, Piece.L_PANTS: Label.PANTS, Piece.SKIRT: Label.SKIRT,
    Piece.R_ARM: Label.R_ARM, Piece.L_ARM: Label.L_ARM,
    Piece.R_LEG: Label.R_LEG, Piece.L_LEG: Label.L_LEG, Piece.R_SHOE: Label.R_LEG, Piece.L_SHOE: Label.L_LEG,
}.items():  # fmt: skip
    PIECE_LABELS[_piece] = _label

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)
_CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 24, endpoint=False)), np.sin(a)], -1)


def vector(x: float | int, y: float | int) -> np.ndarray:
    """A step [2] of x and y px."""
    return np.array((x, y))


def capsule(a: np.ndarray, b: np.ndarray, radius_a: float, radius_b: float, end: float = 1.0) -> np.ndarray:
    """The outline [18, 2] of a limb from `a` to `b`; `end` flattens the round end at `b` (0 is a straight cut)."""
    axis = b - a
    length = float(np.hypot(*axis))
    axis = axis / length if length > 1e-6 else np.array([0.0, 1.0])
    normal = np.array([-axis[1], axis[0]])
    c, s = np.cos(_ARC)[:, None], np.sin(_ARC)[:, None]
    far = b + radius_b * (c * end * axis + s * normal)
    near = a - radius_a * (c * axis + s * normal)
    return np.concatenate([far, near])


def ellipse(centre: np.ndarray, radius_x: float, radius_y: float) -> np.ndarray:
    """The outline [24, 2] of an upright ellipse."""
    return centre + _CIRCLE * (max(radius_x, 0.0), max(radius_y, 0.0))


def smooth(outline: np.ndarray) -> np.ndarray:
    """The closed outline with its corners cut twice (Chaikin)."""
    for _ in range(2):
        following = np.roll(outline, -1, 0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1).reshape(-1, 2)
    return outline


@lru_cache(maxsize=64)
def fabric_tile(fabric: Fabric) -> np.ndarray:
    """One repeat [64, 64, 3] of a pattern: rows run along the body part, columns across it."""
    tile = np.empty((TILE_PX, TILE_PX, 3), np.uint8)
    tile[:] = fabric.ground
    half, ink = TILE_PX // 2, fabric.ink
    if fabric.pattern == "stripes":
        tile[:half] = ink
    elif fabric.pattern == "bars":
        tile[:, :half] = ink
    elif fabric.pattern == "checks":
        tile[:half, :half] = tile[half:, half:] = ink
    elif fabric.pattern == "dots":
        cv2.circle(tile, (half, half), round(0.25 * TILE_PX), ink, -1)
    elif fabric.pattern == "print":
        rng = np.random.default_rng(fabric.seed)
        third = tuple(int(c) for c in (np.array(fabric.ground) + ink) // 2)
        for x, y in ((16, 14), (48, 22), (22, 46), (52, 54)):
            centre = (x + int(rng.integers(-5, 6)), y + int(rng.integers(-5, 6)))
            axes = (int(rng.integers(8, 12)), int(rng.integers(8, 12)))
            cv2.ellipse(
                tile, centre, axes, float(rng.uniform(0, 180)), 0, 360, ink if rng.random() < 0.7 else third, -1
            )
    return tile


def repeat_px(fabric: Fabric, body_px: float) -> float:
    """How many canvas px one repeat of the pattern takes on a person `body_px` canvas px tall."""
    band = max(fabric.band * body_px, NARROWEST_BAND_PX * SUPERSAMPLING)
    return band * {"print": 4.0, "dots": 2.8}.get(fabric.pattern, 2.0)


class Canvas:
    """Colours and pieces at twice the picture's resolution."""

    def __init__(self, size: tuple[int, int], scene: Scene):
        """A canvas for a picture of `size` (height, width), painted with `scene`."""
        self.height, self.width = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
        self.colours = np.empty((self.height, self.width, 3), np.uint8)
        self.pieces = np.zeros((self.height, self.width), np.uint8)
        self._paint_scene(scene)

    def _paint_scene(self, scene: Scene) -> None:
        horizon = round(scene.horizon * self.height)
        for (top, bottom), rows in ((scene.wall, slice(0, horizon)), (scene.floor, slice(horizon, self.height))):
            count = self.colours[rows].shape[0]
            ramp = np.linspace(0, 1, max(count, 1))[:count, None]
            self.colours[rows] = np.rint((1 - ramp) * top + ramp * bottom)[:, None]
        for x0, y0, x1, y1, colour in scene.blocks:
            left, right = (round(x * self.width) for x in (x0, x1))
            self.colours[round(y0 * self.height) : round(y1 * self.height), max(left, 0) : max(right, 0)] = colour

    def shadow(self, centre: np.ndarray, radius_x: float, radius_y: float) -> None:
        """Darken an ellipse of the floor."""
        outline = ellipse(centre, radius_x, radius_y)
        (x0, y0), (x1, y1) = np.maximum(outline.min(0).astype(int), 0), np.maximum(outline.max(0).astype(int) + 1, 0)
        region = self.colours[y0:y1, x0:x1]
        if region.size:
            mask = np.zeros(region.shape[:2], np.uint8)
            cv2.fillPoly(mask, [_fixed(outline - (x0, y0))], 1, shift=SUBPIXEL_BITS)
            region[mask > 0] = region[mask > 0] * 0.75

    def colour(self, outline: np.ndarray, colour: Colour, only: Piece | None = None) -> None:
        """Paint colour alone, where piece `only` lies on top (everywhere without it): eyes, prints, openings."""
        if only is None:
            cv2.fillPoly(self.colours, [_fixed(outline)], colour, shift=SUBPIXEL_BITS)
            return
        mask = np.zeros_like(self.pieces)
        cv2.fillPoly(mask, [_fixed(outline)], 1, shift=SUBPIXEL_BITS)
        self.colours[(mask > 0) & (self.pieces == only)] = colour

    def paint(
        self, piece: Piece, outline: np.ndarray, cloth: Fabric | Colour, start: np.ndarray, end: np.ndarray,
        body_px: float, along_px: float | int = 0.0, across_px: float | int = 0.0,
    ) -> None:  # fmt: skip
        """Paint `piece`. A pattern follows the part: it runs from `start` to `end`, shifted along and across it."""
        polygon = [_fixed(outline)]
        if not isinstance(cloth, Fabric) or cloth.pattern == "plain":
            colour = cloth.ground if isinstance(cloth, Fabric) else cloth
            cv2.fillPoly(self.colours, polygon, colour, shift=SUBPIXEL_BITS)
            cv2.fillPoly(self.pieces, polygon, int(piece), shift=SUBPIXEL_BITS)
            return
        low = np.clip(np.floor(outline.min(0)).astype(int) - 1, 0, (self.width, self.height))
        high = np.clip(np.ceil(outline.max(0)).astype(int) + 2, 0, (self.width, self.height))
        (x0, y0), (x1, y1) = low, high
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [_fixed(outline - low)], 1, shift=SUBPIXEL_BITS)
        axis = end - start
        axis = axis / max(float(np.hypot(*axis)), 1e-6)
        k = TILE_PX / repeat_px(cloth, body_px)
        towards = np.stack([(axis[1], -axis[0]), axis]) * k  # rows: across, along
        offset = towards @ (low - start) + np.array([across_px, along_px]) * k
        matrix = np.concatenate([towards, offset[:, None]], 1)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        cloth_px = cv2.warpAffine(fabric_tile(cloth), matrix, (x1 - x0, y1 - y0), None, flags, cv2.BORDER_WRAP)
        cv2.copyTo(cloth_px, mask, self.colours[y0:y1, x0:x1])
        self.pieces[y0:y1, x0:x1][mask > 0] = piece

    def finish(self, rim_px: float) -> tuple[np.ndarray, np.ndarray]:
        """The picture uint8 [h, w, 3] and its labels uint8 [h, w], rims of pieces darkened over `rim_px` canvas px."""
        kernel = np.ones((3, 3), np.uint8)
        inner = (cv2.dilate(self.pieces, kernel) == cv2.erode(self.pieces, kernel)).astype(np.uint8)
        distance = cv2.distanceTransform(inner, cv2.DIST_L2, 3)
        shade = 1 - 0.38 * np.exp(-distance / rim_px)
        shade[self.pieces == Piece.NOTHING] = 1
        shaded = (self.colours * shade[..., None].astype(np.float32)).astype(np.uint8)
        size = (self.width // SUPERSAMPLING, self.height // SUPERSAMPLING)
        image = cv2.resize(shaded, size, interpolation=cv2.INTER_AREA)
        return image, PIECE_LABELS[self.pieces[::SUPERSAMPLING, ::SUPERSAMPLING]]


def _fixed(outline: np.ndarray) -> np.ndarray:
    """An outline in OpenCV's fixed point numbers."""
    return np.rint(outline * (1 << SUBPIXEL_BITS)).astype(np.int32)
