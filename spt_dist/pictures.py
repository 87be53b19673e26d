"""Pictures for people to look at: skeletons, parsing maps, grids of both.

Everything is uint8 RGB [h, w, 3]. Networks here work on small pictures, so each drawing takes the `height` at which it
will be seen: a skeleton is drawn at that height with smooth edges, a parsing map keeps its hard pixels, and `grid`
enlarges photographs with a cubic filter. Sizes are (height, width) in px.
"""

import base64
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from spt_dist.body import HEAD_JOINTS, LABEL_COLOURS, Joint, Label

Picture = UInt8[np.ndarray, "_ _ 3"]

CELL_HEIGHT = 224  # px; the least height at which a cell of a grid is shown
GUTTER = 10  # px
LINE, LETTER = 1.5, 0.55  # of a text: its lines' distance, its letters' usual width; in font sizes
JPEG_QUALITY = 95  # of every JPEG that is written
INK, PALE_INK, EDGE = (32, 36, 44), (112, 118, 130), (222, 225, 230)
DIMMED, PAINT = 0.65, 0.6  # of a photo's light under what is drawn over it; how much a parsing map covers of it
BACKDROPS = {"dark": (27, 30, 39), "light": (247, 248, 250)}

# Right side warm, left side cool, middle grey; arms brighter than legs, so that crossed limbs can be told apart.
RIGHT_ARM, RIGHT_LEG = (255, 138, 76), (226, 74, 92)
LEFT_ARM, LEFT_LEG = (64, 196, 232), (72, 124, 246)
MIDDLE = (158, 164, 178)
BONES = (
    (Joint.NECK, Joint.R_HIP, MIDDLE),
    (Joint.NECK, Joint.L_HIP, MIDDLE),
    (Joint.R_HIP, Joint.R_KNEE, RIGHT_LEG),
    (Joint.R_KNEE, Joint.R_ANKLE, RIGHT_LEG),
    (Joint.L_HIP, Joint.L_KNEE, LEFT_LEG),
    (Joint.L_KNEE, Joint.L_ANKLE, LEFT_LEG),
    (Joint.NECK, Joint.R_SHOULDER, RIGHT_ARM),
    (Joint.NECK, Joint.L_SHOULDER, LEFT_ARM),
    (Joint.R_SHOULDER, Joint.R_ELBOW, RIGHT_ARM),
    (Joint.R_ELBOW, Joint.R_WRIST, RIGHT_ARM),
    (Joint.L_SHOULDER, Joint.L_ELBOW, LEFT_ARM),
    (Joint.L_ELBOW, Joint.L_WRIST, LEFT_ARM),
    (Joint.NECK, Joint.NOSE, MIDDLE),
    (Joint.NOSE, Joint.R_EYE, RIGHT_ARM),
    (Joint.R_EYE, Joint.R_EAR, RIGHT_ARM),
    (Joint.NOSE, Joint.L_EYE, LEFT_ARM),
    (Joint.L_EYE, Joint.L_EAR, LEFT_ARM),
)
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 px
OVERSAMPLING = 2  # skeletons are drawn this much larger, then averaged: round dots, even edges


def skeleton_picture(
    joints: Float[np.ndarray, "18 3"],
    size: tuple[int, int],
    *,
    height: int | None = None,
    backdrop: Literal["dark", "light"] = "dark",
) -> Picture:
    """The pose as coloured limbs: the person's right side warm, the left side cool; missing joints are left out.

    `joints` are (x_px, y_px, visible) in a picture of `size`; the drawing has `height` px and the same aspect.
    """
    shown = height or size[0]
    scale = OVERSAMPLING * shown / size[0]
    canvas = np.full((OVERSAMPLING * shown, round(size[1] * scale), 3), BACKDROPS[backdrop], np.uint8)
    thickness = max(1, round(0.016 * canvas.shape[0]))
    points = np.round(((joints[:, :2] + 0.5) * scale - 0.5) * 2**SUBPIXEL_BITS).astype(int)
    visible = joints[:, 2] > 0
    for upper, lower, colour in BONES:
        if visible[upper] and visible[lower]:
            a, b = points[upper].tolist(), points[lower].tolist()
            cv2.line(canvas, a, b, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    rim = BACKDROPS["light"] if backdrop == "dark" else INK
    for joint in Joint:
        if visible[joint]:
            radius = round((0.45 if joint in HEAD_JOINTS else 0.7) * thickness * 2**SUBPIXEL_BITS)
            cv2.circle(canvas, points[joint].tolist(), radius, rim, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    drawn = cv2.resize(canvas, (round(size[1] * shown / size[0]), shown), interpolation=cv2.INTER_AREA)
    return np.asarray(drawn, np.uint8)


def parsing_picture(labels: UInt8[np.ndarray, "h w"], *, height: int | None = None) -> Picture:
    """The parsing map in `body.LABEL_COLOURS`, its pixels enlarged to `height` without blending."""
    picture = np.asarray(LABEL_COLOURS, np.uint8)[labels]
    return picture if height is None else at_height(picture, height, cv2.INTER_NEAREST)


def at_height(picture: Picture, height: int, interpolation: int = cv2.INTER_CUBIC) -> Picture:
    """The picture at another height, its aspect kept; `interpolation` is for a larger one."""
    h, w = picture.shape[:2]
    if h == height:
        return picture
    size = (round(w * height / h), height)
    enlarged = cv2.resize(picture, size, interpolation=interpolation if height > h else cv2.INTER_AREA)
    return np.asarray(enlarged, np.uint8)


def posed_picture(photo: Picture, joints: Float[np.ndarray, "18 3"], *, height: int) -> Picture:
    """The skeleton over its photo, which is dimmed; joints are in px of the photo."""
    shown, size = at_height(photo, height), (photo.shape[0], photo.shape[1])
    limbs = skeleton_picture(joints, size, height=height)
    drawn = (limbs != BACKDROPS["dark"]).any(2, keepdims=True)
    return np.where(drawn, limbs, (DIMMED * shown).astype(np.uint8))


def painted_picture(photo: Picture, labels: UInt8[np.ndarray, "h w"], *, height: int) -> Picture:
    """The parsing map over its photo, whose background is dimmed."""
    shown = at_height(photo, height)
    there = cv2.resize(labels, shown.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    painted = PAINT * parsing_picture(np.asarray(there, np.uint8)) + (1 - PAINT) * shown
    return np.where(np.asarray(there)[..., None] > Label.BACKGROUND, painted, DIMMED * shown).astype(np.uint8)


def view_label(joints: Float[np.ndarray, "18 3"]) -> Literal["front", "back", "side", "unknown"]:
    """From where the person is seen: by the shoulders' (else the hips') signed width against the torso's length."""
    shoulders, hips = (Joint.R_SHOULDER, Joint.L_SHOULDER), (Joint.R_HIP, Joint.L_HIP)
    visible = joints[:, 2] > 0
    ends = [[side for side in pair if visible[side]] for pair in (shoulders, hips)]
    wide = next((pair for pair in (shoulders, hips) if visible[list(pair)].all()), None)
    if wide is None or not all(ends):
        return "unknown"
    upper, lower = (joints[pair, :2].mean(0) for pair in ends)
    ratio = (joints[wide[1], 0] - joints[wide[0], 0]) / max(float(np.linalg.norm(upper - lower)), 1.0)
    if abs(ratio) < 0.3:
        return "side"
    return "front" if ratio > 0 else "back"


def cell_height(size: tuple[int, int]) -> int:
    """The height in px at which a picture of `size` is shown: at least `CELL_HEIGHT`, a whole multiple if enlarged."""
    return size[0] * max(1, -(-CELL_HEIGHT // size[0]))


def grid(rows: Sequence[Sequence[Picture]], headings: Sequence[str], row_headings: Sequence[str] = ()) -> Picture:
    """Pictures in rows under column headings, with white gutters; small ones are enlarged to one common height.

    A heading that is wider than its column goes on in a further line.

    Raises:
        ValueError: no rows, or the headings are not as many as the columns and rows.
    """
    if not rows:
        raise ValueError("`rows` is empty; a grid needs at least one row of pictures")
    for index, row in enumerate(rows):
        if len(row) != len(headings):
            raise ValueError(f"row {index} has {len(row)} pictures but `headings` has {len(headings)}")
    if row_headings and len(row_headings) != len(rows):
        raise ValueError(f"`row_headings` has {len(row_headings)} texts but `rows` has {len(rows)}")
    height = max(cell_height(picture.shape[:2]) for row in rows for picture in row)
    cells = [[at_height(picture, height, cv2.INTER_CUBIC) for picture in row] for row in rows]
    widths = [max(row[column].shape[1] for row in cells) for column in range(len(headings))]
    font_px = max(15, height // 15)
    wrapped = [_wrap(heading, width, font_px) for heading, width in zip(headings, widths, strict=True)]
    lines = max(text.count("\n") + 1 for text in wrapped)
    top = (round((0.5 + LINE * lines) * font_px) if any(headings) else 0) + GUTTER
    left = (5 * font_px if row_headings else 0) + GUTTER
    lefts = [left + sum(widths[:column]) + column * GUTTER for column in range(len(widths))]
    tops = [top + row * (height + GUTTER) for row in range(len(rows))]
    canvas = np.full((tops[-1] + height + GUTTER, lefts[-1] + widths[-1] + GUTTER, 3), 255, np.uint8)
    for y, row in zip(tops, cells, strict=True):
        for x, width, cell in zip(lefts, widths, row, strict=True):
            inset = x + (width - cell.shape[1]) // 2
            canvas[y : y + height, inset : inset + cell.shape[1]] = cell
            cv2.rectangle(canvas, (inset - 1, y - 1), (inset + cell.shape[1], y + height), EDGE, 1)
    middle = top - (0.9 + LINE / 2 * (lines - 1)) * font_px
    texts = [(x + w / 2, middle, text, INK) for x, w, text in zip(lefts, widths, wrapped, strict=True)]
    texts += [
        (left / 2, y + height / 2, text, PALE_INK)
        for y, text in zip(tops if row_headings else [], row_headings, strict=True)
    ]
    return _write(canvas, texts, font_px)


def sheet(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Pictures of one aspect in rows without any text, white gutters between; small ones are enlarged as in `grid`."""
    height = max(cell_height(picture.shape[:2]) for row in rows for picture in row)
    gap, stacked = GUTTER // 2, []
    for row in rows:
        cells = [at_height(picture, height, cv2.INTER_CUBIC) for picture in row]
        spaced = [each for cell in cells for each in (cell, np.full((height, gap, 3), 255, np.uint8))][:-1]
        line = np.concatenate(spaced, axis=1)
        stacked += [line, np.full((gap, line.shape[1], 3), 255, np.uint8)]
    return np.concatenate(stacked[:-1], axis=0)


def save(picture: Picture, path: str | Path) -> None:
    """Write a picture as PNG or JPEG, by the name's ending; its folder is made."""
    if Path(path).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OSError(f"cannot write the picture `{path}`: its name must end in .png or .jpg")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write the picture `{path}`: there is no folder `{Path(path).parent}`") from error
    options = [] if Path(path).suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options):
        raise OSError(f"cannot write the picture `{path}`; may its folder be written in?")


def inline(content: bytes) -> str:
    """The `data:` address of a PNG's or JPEG's bytes, for pages that need nothing beside them."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _wrap(text: str, width_px: int, font_px: int) -> str:
    letters = max(1, round((width_px + GUTTER) / (LETTER * font_px)))
    return "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, letters))


def _write(canvas: Picture, texts: Sequence[tuple[float, float, str, tuple[int, int, int]]], font_px: int) -> Picture:
    """Set centred texts (x_px, y_px, text, colour) on the canvas, by matplotlib: OpenCV has no real font."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    h, w = canvas.shape[:2]
    dpi = 72  # one point is one pixel
    figure = Figure((w / dpi, h / dpi), dpi=dpi)
    agg = FigureCanvasAgg(figure)
    figure.figimage(canvas)
    for x, y, text, colour in texts:
        figure.text(
            x / w, 1 - y / h, text, ha="center", va="center", fontsize=font_px,
            color=tuple(channel / 255 for channel in colour), linespacing=LINE,
        )  # fmt: skip
    agg.draw()
    return np.asarray(agg.buffer_rgba(), np.uint8)[..., :3].copy()
