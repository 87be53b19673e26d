"""Blocks: some pictures read, checked, framed and encoded, kept as one file with one of entries beside it.

A block's entries are written last: what has them is whole. They stand in the order of reading, the rejected ones too,
and say all that later steps ask, so that nobody decodes a picture again.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spt_dist.body import Joint, Label
from spt_dist.data.frame import FrameRule, frame, inside
from spt_dist.data.importers import Row, Unreadable, read_row
from spt_dist.data.likeness import likeness
from spt_dist.data.schema import DataError, JointArray, Sample, decode, encode, validate
from spt_dist.data.storage import Storage

PLACES = 10_000  # to the picture's height: in what the joints of copies are compared


class How(NamedTuple):
    """What decides a block's content besides its pictures; `look` keeps how they look, to find copies."""

    size: tuple[int, int]
    rule: FrameRule
    min_joints: int
    look: bool


class Entry(NamedTuple):
    """What is known of one picture: `reason` says why it gives no sample, else the rest says what it gives.

    `sizes` are its files' in bytes, `label_pixels` per label, `visible` is a bit per joint; `likeness` and `joints` (x,
    y in `PLACES` of the height, -1 where missing) are those of the whole picture, before it was framed. `mark` stands
    for all that it was made of.
    """

    id: str
    split: str
    source: str
    reason: str | None = None
    identity: str | None = None
    sizes: tuple[int, ...] = ()
    label_pixels: tuple[int, ...] = ()
    visible: int = 0
    likeness: int = 0
    joints: tuple[int, ...] = ()
    mark: str = ""


class Task(NamedTuple):
    """A block to be made: its number and its pictures."""

    number: int
    rows: list[Row]


def pack_block(task: Task, work: str, how: How) -> int:
    """Read and encode a task's pictures into the working folder; returns how many there were."""
    made = (prepare(read_row(row), how, mark(row)) for row in task.rows)
    write_block(Storage(work), task.number, made)
    return len(task.rows)


def write_block(work: Storage, number: int, made: Iterable[tuple[Entry, list[bytes]]]) -> None:
    """Keep a block: the bytes of its samples one after the other, then its entries."""
    entries, content = [], bytearray()
    for entry, files in made:
        entries.append(entry)
        for file in files:
            content += file
    work.write(f"{stem(number)}.bin", bytes(content))
    work.write(f"{stem(number)}.json", json.dumps(entries, separators=(",", ":")).encode())


def read_entries(work: Storage, number: int) -> list[Entry]:
    """The entries of a block; `DataError` when they are damaged."""
    try:
        tree = json.loads(work.read(f"{stem(number)}.json"))
        return [Entry(*row) for row in tree]
    except (ValueError, TypeError) as error:
        raise DataError(f"block {number} in `{work.place}` is damaged ({error}); pack without --resume") from None


def stem(number: int) -> str:
    """What a block's two files are called."""
    return f"blocks/{number:06d}"


def mark(row: Row) -> str:
    """Twelve letters that change with a row, and with size or time of its files."""
    stamps = []
    for path in row.files:
        try:
            found = path.stat()
            stamps.append((found.st_size, found.st_mtime_ns))
        except (OSError, ValueError):  # ValueError: a NUL in its name
            stamps.append(None)
    joints = row.joints.tolist() if isinstance(row.joints, np.ndarray) else str(row.joints)
    text = json.dumps([str(row.folder), row.split, row.name, row.id, joints, str(row.identity), stamps])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def prepare(sample: Sample | Unreadable, how: How, marked: str = "") -> tuple[Entry, list[bytes]]:
    """Check, frame and encode one sample, and decode it again; the entry says what came of it."""
    try:
        if isinstance(sample, Unreadable):
            raise DataError(sample.reason)
        validate(sample)
        framed = _framed(sample, how)
        files = encode(framed)
        again = decode(files)
        assert np.array_equal(again.labels, framed.labels), f"`{sample.id}`: labels changed on their way through PNG"
        assert np.array_equal(again.joints, framed.joints), f"`{sample.id}`: joints changed on their way through NPY"
    except DataError as error:
        return Entry(sample.id, sample.split, sample.source, str(error), mark=marked), []
    contents = list(files.values())
    entry = Entry(
        sample.id,
        sample.split,
        sample.source,
        None,
        sample.identity,
        tuple(map(len, contents)),
        tuple(np.bincount(framed.labels.ravel(), minlength=len(Label)).tolist()),
        sum(1 << joint for joint in Joint if framed.joints[joint, 2]),
        likeness(sample.image) if how.look else 0,
        _places(sample.joints, sample.image.shape[0]) if how.look else (),
        marked,
    )
    return entry, contents


def _framed(sample: Sample, how: How) -> Sample:
    joints = inside(sample.joints, sample.labels.shape)
    outside = int(sample.joints[:, 2].sum() - joints[:, 2].sum())
    framed = frame(sample.image, sample.labels, joints, how.size, how.rule)
    moved = replace(sample, image=framed.image, labels=framed.labels, joints=framed.joints)
    try:
        validate(moved, how.min_joints)
    except DataError as error:
        raise DataError(f"{error}; {outside} joints lie outside the picture" if outside else str(error)) from None
    return moved


def _places(joints: JointArray, height: int) -> tuple[int, ...]:
    scaled = np.where(joints[:, 2:] > 0, joints[:, :2] * (PLACES / height), -1)
    return tuple(np.rint(scaled.clip(-1, 10 * PLACES)).astype(int).ravel().tolist())
