"""The applications' results laid out for people to look at: labelled grids, plain strips, animations.

A sheet is a grid with headings, large enough to read; without one, the bare pictures stand side by side at their own
size. A name that ends in .gif or .webp is an animation, one frame per pose, anything else one picture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from spt_dist.infer import Generated
from spt_dist.joints import Pose
from spt_dist.person import ImageArray, LabelArray
from spt_dist.pictures import BACKDROPS, cell_height, grid, parsing_picture, skeleton_picture

PALETTE_FRAMES = 4
ANIMATIONS = (".gif", ".webp")


class Swapped(NamedTuple):
    """A row of the transfer sheet: two framed photos, the first in the second's clothes, if asked also the reverse."""

    photos: tuple[ImageArray, ImageArray]
    drawn: list[Generated]


class Edited(NamedTuple):
    """A row of the edit sheet: what was done, to which framed photo and map, and the result."""

    name: str
    photo: ImageArray
    labels: LabelArray
    drawn: Generated


class Moved(NamedTuple):
    """A person of the poses sheet: the framed photo, and a picture per pose."""

    photo: ImageArray
    drawn: list[Generated]


def transfer_sheet(rows: Sequence[Swapped], what: str) -> ImageArray:
    """Both photos, then what each looks like in the other's `what`."""
    headings = ["A", "B", f"A in B's {what}", f"B in A's {what}"][: 2 + len(rows[0].drawn)]
    return grid([[*row.photos, *(drawn.image for drawn in row.drawn)] for row in rows], headings)


def edit_sheet(rows: Sequence[Edited]) -> ImageArray:
    """Photo, parsing map, edited map and repainted photo, a row per edit."""
    cells, names = [], []
    for row in rows:
        height = cell_height(row.labels.shape)
        maps = [parsing_picture(labels, height=height) for labels in (row.labels, row.drawn.labels)]
        cells.append([row.photo, *maps, row.drawn.image])
        names.append(row.name.replace("-", "\n"))
    return grid(cells, ["photo", "its map", "edited map", "repainted"], names)


def poses_sheet(people: Sequence[Moved], poses: Sequence[Pose]) -> ImageArray:
    """The wanted poses over the people who take them, a row per person, the photo first."""
    size = _size(people[0])
    blank = np.full((*size, 3), BACKDROPS["light"], np.uint8)
    skeletons = [skeleton_picture(pose, size, height=cell_height(size)) for pose in poses]
    rows = [[blank, *skeletons], *([person.photo, *(drawn.image for drawn in person.drawn)] for person in people)]
    return grid(rows, ["photo", *[""] * len(poses)])


def poses_frames(people: Sequence[Moved], poses: Sequence[Pose]) -> list[ImageArray]:
    """One labelled picture per pose: photo, pose and what was drawn, a row per person."""
    size, frames = _size(people[0]), []
    for number, pose in enumerate(poses):
        skeleton = skeleton_picture(pose, size, height=cell_height(size))
        rows = [[person.photo, skeleton, person.drawn[number].image] for person in people]
        frames.append(grid(rows, ["photo", "pose", "drawn"]))
    return frames


def _size(person: Moved) -> tuple[int, int]:
    return person.photo.shape[0], person.photo.shape[1]


def strip(images: Sequence[ImageArray]) -> ImageArray:
    """Pictures of one size side by side."""
    return np.concatenate(list(images), axis=1)


def stack(rows: Sequence[Sequence[ImageArray]]) -> ImageArray:
    """Strips under each other."""
    return np.concatenate([strip(row) for row in rows], axis=0)


def is_animation(path: Path) -> bool:
    """Whether the name asks for frames."""
    return path.suffix.lower() in ANIMATIONS


def save_animation(
    frames: Sequence[ImageArray], path: Path, frames_per_s: float, options: Mapping[str, Any] = {}
) -> None:
    """Write frames as a GIF or WebP that repeats, with further options of Pillow.

    Raises:
        ValueError: the rate is none.
        OSError: the file cannot be written.
    """
    if not 0 < frames_per_s <= 50:
        raise ValueError(f"`--rate {frames_per_s:g}` is no rate; give more than 0 and at most 50 frames a second")
    pictures = [Image.fromarray(frame) for frame in frames]
    if path.suffix.lower() == ".gif":
        # One palette for all frames: frames of their own palettes flicker.
        some = np.concatenate(list(frames[:: max(1, len(frames) // PALETTE_FRAMES)]))
        palette = Image.fromarray(some).quantize(256, dither=Image.Dither.NONE)
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    each_ms, lossless = round(1000 / frames_per_s), path.suffix.lower() == ".webp"
    moving = {"save_all": True, "append_images": pictures[1:], "duration": each_ms, "loop": 0, "lossless": lossless}
    try:
        pictures[0].save(path, **moving, **options)
    except FileNotFoundError:
        raise OSError(f"cannot write the animation `{path}`; does its folder exist?") from None
