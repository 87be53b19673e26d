"""Reading the folders in which people keep such data.

A folder holds `img/NAME.jpg` (or .png), `parsing/NAME.png` (labels 0..9), `keypoints.csv` in the field's annotation
format (`name:keypoints_y:keypoints_x`, JSON lists, -1 for a missing joint), one `SPLIT.txt` per split with a picture's
name per line, and optionally `identities.csv` (`name,identity`).
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spt_dist.body import MISSING, Joint
from spt_dist.data.schema import DataError, JointArray, Sample, read_image, read_labels

TWINS = "twin"  # further pictures of the training people: true targets, for training that may see them
SPLITS = ("train", "val", "test", TWINS)


class Unreadable(NamedTuple):
    """A picture of the list that gives no sample, and why; `pack` counts and lists it."""

    id: str
    reason: str
    split: str


def splits(path: Path | str) -> list[str]:
    """The splits that a folder has, by their list files, in the order of `SPLITS`.

    Raises:
        DataError: there is no such folder.
    """
    if not Path(path).is_dir():
        raise DataError(
            f"`{path}` is not a folder; name the one that holds img/, parsing/, keypoints.csv and train.txt"
        )
    return [split for split in SPLITS if (Path(path) / f"{split}.txt").is_file()]


def count_samples(path: Path | str) -> int:
    """How many pictures a folder's lists name, over all splits."""
    return sum(len(_lines(Path(path) / f"{split}.txt", "it was there a moment ago")) for split in splits(path))


def read_folder(path: Path | str, split: str) -> Iterator[Sample | Unreadable]:
    """The samples of one split in the order of its list, or what stands in the way of one.

    Raises:
        DataError: the folder, its list or its keypoints are missing or malformed.
    """
    folder = Path(path)
    names = _lines(folder / f"{split}.txt", f"this folder has the splits {splits(folder) or 'none'}")
    joints = _keypoints(folder / "keypoints.csv")
    identities = read_identities(folder / "identities.csv")
    for name in names:
        stem = Path(name).stem
        try:
            if name not in joints:
                raise DataError("`keypoints.csv` has no line for it")
            image = read_image(_bytes(folder / "img" / name), f"img/{name}")
            labels = read_labels(_bytes(folder / "parsing" / f"{stem}.png"), f"parsing/{stem}.png")
        except DataError as error:
            yield Unreadable(stem, str(error), split)
        else:
            yield Sample(stem, image, labels, joints[name], identities.get(name), folder.name, split)


def parse_keypoints(ys: str, xs: str, where: str) -> JointArray:
    """Joints from the two JSON lists of an annotation line; `DataError` names `where` when they are not two of 18."""
    try:
        xy = np.column_stack((json.loads(xs), json.loads(ys))).astype(np.float32)
    except (ValueError, TypeError, OverflowError, RecursionError):
        xy = np.empty((0, 2), np.float32)
    if xy.shape != (len(Joint), 2) or not np.isfinite(xy).all():
        raise DataError(f"{where}: expected two JSON lists of {len(Joint)} numbers, y first, found `{ys}` and `{xs}`")
    joints = np.column_stack((xy, np.ones(len(xy), np.float32)))
    joints[(xy < 0).any(1)] = MISSING
    return joints


def annotation(name: str, joints: JointArray) -> str:
    """A line of `keypoints.csv`: name, all y, all x; -1 where missing."""
    x, y = (
        [round(float(value), 2) if joint[2] else -1 for value, joint in zip(joints[:, axis], joints, strict=True)]
        for axis in (0, 1)
    )
    return f"{name}: {json.dumps(y)}: {json.dumps(x)}"


def _keypoints(path: Path) -> dict[str, JointArray]:
    """Joints by picture name."""
    table = {}
    lines = _lines(path, "it holds `name:keypoints_y:keypoints_x`, one picture a line")
    for number, line in enumerate(lines, start=1):
        if line.startswith("name:"):
            continue
        fields = line.split(":")
        if len(fields) != 3:
            raise DataError(f"`{path}` entry {number}: expected `name:keypoints_y:keypoints_x`, found `{line[:80]}`")
        table[fields[0].strip()] = parse_keypoints(fields[1], fields[2], f"`{path}` entry {number}")
    return table


def read_identities(path: Path) -> dict[str, str]:
    """The person's name by picture name; empty where the folder does not say."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not {"name", "identity"} <= rows[0].keys():
        raise DataError(f"`{path}` must have the columns `name,identity`, found `{','.join(rows[0])}`")
    return {row["name"]: row["identity"] for row in rows}


def _lines(path: Path, hint: str) -> list[str]:
    """The file's lines that are not empty, without their blanks."""
    if not path.is_file():
        raise DataError(f"`{path}` does not exist; {hint}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read `{path.parent.name}/{path.name}`: {error.strerror}") from None
