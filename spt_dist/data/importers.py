"""Reading the folders in which people keep such data.

A folder holds `img/NAME.jpg` (or .png), `parsing/NAME.png` (labels 0..9), `keypoints.csv` in the field's annotation
format (`name:keypoints_y:keypoints_x`, JSON lists, -1 for a missing joint), one `SPLIT.txt` per split with a picture's
name per line, and optionally `identities.csv` (`name,identity`). `photos` says which pictures can be read, and how.

What is wrong with one picture, or with its line, costs that picture; what is wrong with a whole file is an error.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spt_dist.body import MISSING, Joint
from spt_dist.data.photos import read_map, read_photo
from spt_dist.data.schema import DataError, JointArray, Sample

TWINS = "twin"  # further pictures of the training people: true targets, for training that may see them
SPLITS = ("train", "val", "test", TWINS)
SHOWN = 80  # characters of a line that is not understood


class Unreadable(NamedTuple):
    """A picture of the list that gives no sample, and why; `pack` counts and lists it. `source` is its folder."""

    id: str
    reason: str
    split: str
    source: str = ""


class Row(NamedTuple):
    """A picture of the list before it is read: `name` in the folder's img/, and its joints, or what is wrong with them.

    All that a process elsewhere needs to read it; `id` is what its sample will be called.
    """

    folder: Path
    split: str
    name: str
    id: str
    joints: JointArray | DataError
    identity: str | DataError | None

    @property
    def files(self) -> tuple[Path, Path]:
        """The photo and its map."""
        return self.folder / "img" / self.name, self.folder / "parsing" / f"{Path(self.name).stem}.png"


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
    return map(read_row, read_rows(path, split))


def read_rows(path: Path | str, split: str) -> Iterator[Row]:
    """The pictures of one split in the order of its list, unread; errors as `read_folder`."""
    folder = Path(path)
    names = _lines(folder / f"{split}.txt", f"this folder has the splits {splits(folder) or 'none'}")
    joints = _keypoints(folder / "keypoints.csv")
    identities = read_identities(folder / "identities.csv")
    for name in names:
        found = joints.get(name, DataError(f"`keypoints.csv` has no line for `{name[:SHOWN]}`"))
        yield Row(folder, split, name, Path(name).stem, found, identities.get(name))


def read_row(row: Row) -> Sample | Unreadable:
    """The sample of a row, or what stands in the way of one."""
    photo, parsing = row.files
    try:
        if isinstance(row.joints, DataError):
            raise row.joints
        if isinstance(row.identity, DataError):
            raise row.identity
        image = read_photo(_bytes(photo), f"img/{row.name}")
        labels = read_map(_bytes(parsing), f"parsing/{parsing.name}")
    except DataError as error:
        return Unreadable(row.id, str(error), row.split, row.folder.name)
    return Sample(row.id, image, labels, row.joints, row.identity, row.folder.name, row.split)


def parse_keypoints(ys: str, xs: str, where: str) -> JointArray:
    """Joints from the two JSON lists of an annotation line; `DataError` names `where` when they are not two of 18."""
    try:
        with np.errstate(over="ignore"):
            xy = np.column_stack((json.loads(xs), json.loads(ys))).astype(np.float32)
    except (ValueError, TypeError, OverflowError, RecursionError):
        xy = np.empty((0, 2), np.float32)
    found = f"found `{ys[:SHOWN]}` and `{xs[:SHOWN]}`"
    if xy.shape != (len(Joint), 2):
        raise DataError(f"{where}: expected two JSON lists of {len(Joint)} numbers, y first, {found}")
    if not np.isfinite(xy).all():
        raise DataError(f"{where}: joints must be finite, -1 where missing, {found}")
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


def _keypoints(path: Path) -> dict[str, JointArray | DataError]:
    """Joints by picture name, or what is wrong with its line."""
    table: dict[str, JointArray | DataError] = {}
    lines = _lines(path, "it holds `name:keypoints_y:keypoints_x`, one picture a line")
    for number, line in enumerate(lines, start=1):
        if line.startswith("name:"):
            continue
        name, *lists = line.split(":")
        name, where = name.strip(), f"`{path.name}` entry {number}"
        try:
            if len(lists) != 2:
                raise DataError(f"{where}: expected `name:keypoints_y:keypoints_x`, found `{line[:SHOWN]}`")
            joints, before = parse_keypoints(lists[0], lists[1], where), table.get(name)
            if isinstance(before, DataError) or not (before is None or np.array_equal(before, joints, equal_nan=True)):
                raise DataError(f"{where}: `{name[:SHOWN]}` has a line already, with other joints; keep one of them")
            table[name] = joints
        except DataError as error:
            table[name] = error
    return table


def read_identities(path: Path) -> dict[str, str | DataError]:
    """The person's name by picture name, or what is wrong with its lines; empty where the folder does not say."""
    if not path.is_file():
        return {}
    table: dict[str, str | DataError] = {}
    reader = csv.reader(_text(path).splitlines())
    try:
        head = next(reader, [])
        if not {"name", "identity"} <= set(head):
            raise DataError(f"`{path}` must have the columns `name,identity`, found `{','.join(head)[:SHOWN]}`")
        for row in reader:
            cells = dict(zip(head, row, strict=False))
            if name := cells.get("name"):
                identity = cells.get("identity", "")
                other = table.get(name, identity) != identity
                table[name] = (
                    DataError(f"`{path.name}` gives `{name[:SHOWN]}` several identities") if other else identity
                )
    except csv.Error as error:
        raise DataError(f"`{path}` line {reader.line_num} is no CSV ({error}); mend that line") from None
    return {name: identity for name, identity in table.items() if identity}


def _lines(path: Path, hint: str) -> list[str]:
    """The file's lines that are not empty, without their blanks."""
    if not path.is_file():
        raise DataError(f"`{path}` does not exist; {hint}")
    return [line.strip() for line in _text(path).splitlines() if line.strip()]


def _text(path: Path) -> str:
    """The text of a list; what is no UTF-8 spoils the line in which it stands, not the others."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"cannot read `{path}`: {error.strerror}") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read `{path.parent.name}/{path.name[:SHOWN]}`: {error.strerror}") from None
    except ValueError as error:  # a NUL in its name
        raise DataError(f"cannot read {path.parent.name}/{path.name[:SHOWN]!r}: {error}") from None
