"""Packing: samples in, validated WebDataset shards, their indices and a manifest out.

Each sample is checked, framed to the target size, encoded, decoded again and spooled to a file. When the count is known
the samples are dealt to shards of equal size (to within one) in the order of their ids' SHA-256: neighbours in a source
folder, such as views of one person, do not stay neighbours, and the same samples give the same bytes on any machine.
The folder is written aside, synced and renamed: it is whole or absent.

Beside each `SPLIT-000000.tar` lies `SPLIT-000000.idx`, DALI's index: a line `v1.2 SAMPLES`, then per sample a line of
`extension offset size name` for each of its files, offsets being those of the content in the tar.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spt_dist.body import Joint, Label
from spt_dist.data.frame import FrameRule, frame, inside
from spt_dist.data.importers import Unreadable
from spt_dist.data.manifest import MANIFEST, Manifest, Shard, Split
from spt_dist.data.schema import KEYS, DataError, Sample, decode, encode, validate

FEWEST_SHARDS = 8  # where there are enough samples for them
SAMPLES_FOR_SHARDS = 64
SHOWN_REJECTIONS = 5
TAR_BLOCK = 512


@dataclass
class _Spooled:
    """What is kept in memory of one split while its samples lie in the spool."""

    entries: dict[str, tuple[int, list[int]]] = field(default_factory=dict)  # id -> offset, sizes of the files
    label_pixels: np.ndarray = field(default_factory=lambda: np.zeros(len(Label), np.int64))
    visible: np.ndarray = field(default_factory=lambda: np.zeros(len(Joint), np.int64))


def pack(
    samples: Iterable[Sample | Unreadable],
    out: Path | str,
    size: tuple[int, int],
    how: FrameRule = "person",
    *,
    min_joints: int = 6,
    max_rejected: float = 0.2,
    shard_samples: int = 1000,
    total: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Manifest:
    """Write `samples` (of any splits) as shards into the new folder `out`.

    Every image is framed by `how` and stored at `size` (height, width) px; a joint outside its picture is missing. A
    sample that is unreadable, malformed, shows fewer than `min_joints` joints or repeats an id goes to `rejected.jsonl`
    with its reason. A shard has at most `shard_samples` samples, fewer where 64 samples or more would not fill 8
    shards. `progress(done, total)` is called after each sample.

    Raises:
        DataError: `out` exists, no sample is left, or more than the fraction `max_rejected` was rejected.
    """
    out = Path(out)
    if out.exists():
        raise DataError(f"`{out}` exists; remove it or pack into another folder")
    aside = out.with_name(out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    spooled: dict[str, _Spooled] = {}
    rejected: list[Unreadable] = []
    with open(aside / "spool", "w+b") as spool:
        for done, sample in enumerate(samples, start=1):
            try:
                _spool(sample, spool, spooled, size, how, min_joints)
            except DataError as error:
                rejected.append(Unreadable(sample.id, str(error), sample.split, sample.source))
            if progress:
                progress(done, total)
        _write(aside / "rejected.jsonl", "".join(json.dumps(line._asdict()) + "\n" for line in rejected).encode())
        _stop_above(max_rejected, rejected, sum(len(split.entries) for split in spooled.values()), aside)
        kept = {name: split for name, split in spooled.items() if split.entries}
        splits = {name: _write_split(name, split, spool, aside, shard_samples) for name, split in kept.items()}
    (aside / "spool").unlink()
    _write(aside / MANIFEST, Manifest(aside, size, how, min_joints, len(rejected), splits).to_json().encode())
    flush(aside)
    aside.rename(out)
    flush(out.parent)
    return Manifest.load(out)


def _spool(
    sample: Sample | Unreadable,
    spool: BinaryIO,
    spooled: dict[str, _Spooled],
    size: tuple[int, int],
    how: FrameRule,
    min_joints: int,
) -> None:
    """Check, frame, encode and append one sample; `DataError` says why not."""
    if isinstance(sample, Unreadable):
        raise DataError(sample.reason)
    split = spooled.setdefault(sample.split, _Spooled())
    if sample.id in split.entries:
        raise DataError(f"the id `{sample.id}` occurs twice in `{sample.split}`")
    validate(sample)
    joints = inside(sample.joints, sample.labels.shape)
    outside = int(sample.joints[:, 2].sum() - joints[:, 2].sum())
    framed = frame(sample.image, sample.labels, joints, size, how)
    sample = replace(sample, image=framed.image, labels=framed.labels, joints=framed.joints)
    try:
        validate(sample, min_joints)
    except DataError as error:
        raise DataError(f"{error}; {outside} joints lie outside the picture" if outside else str(error)) from None
    files = encode(sample)
    again = decode(files)
    assert np.array_equal(again.labels, sample.labels), f"`{sample.id}`: labels changed on their way through PNG"
    assert np.array_equal(again.joints, sample.joints), f"`{sample.id}`: joints changed on their way through NPY"
    split.entries[sample.id] = spool.tell(), [len(content) for content in files.values()]
    spool.writelines(files.values())
    split.label_pixels += np.bincount(sample.labels.ravel(), minlength=len(Label))
    split.visible += sample.joints[:, 2] > 0


def _stop_above(limit: float, rejected: list[Unreadable], kept: int, aside: Path) -> None:
    total = len(rejected) + kept
    if total == 0:
        raise DataError("there are no samples to pack; does the list of the split have lines?")
    if kept > 0 and len(rejected) <= limit * total:
        return
    named = [(f"{line.source}/{line.id}" if line.source else line.id, line.reason) for line in rejected]
    shown = "\n".join(f"  {name}: {reason}" for name, reason in named[:SHOWN_REJECTIONS])
    raise DataError(
        f"{len(rejected)} of {total} samples were rejected, the limit is {limit:.0%}. The first:\n{shown}\n"
        f"All are in `{aside / 'rejected.jsonl'}`; mend them, or raise `max_rejected` (`--max-rejected`)"
    )


def _write_split(name: str, split: _Spooled, spool: BinaryIO, out: Path, shard_samples: int) -> Split:
    """Deal the split's samples to shards; returns what the manifest says of them."""
    ids = sorted(split.entries, key=lambda identifier: hashlib.sha256(identifier.encode()).digest())
    fewest = FEWEST_SHARDS if len(ids) >= SAMPLES_FOR_SHARDS else 1
    count = max(fewest, -(-len(ids) // shard_samples))
    bounds = [len(ids) * number // count for number in range(count + 1)]
    shards = []
    for number in range(count):
        chosen = range(bounds[number], bounds[number + 1])
        samples = {f"{position:08d}": _read(spool, *split.entries[ids[position]]) for position in chosen}
        shards.append(_write_shard(out, f"{name}-{number:06d}", samples))
    pixels, visible = split.label_pixels / split.label_pixels.sum(), split.visible / len(ids)
    return Split(
        shards,
        {label.name: round(float(pixels[label]), 6) for label in Label},
        {joint.name: round(float(visible[joint]), 6) for joint in Joint},
    )


def _write_shard(out: Path, stem: str, samples: dict[str, dict[str, bytes]]) -> Shard:
    """One tar and its index; the same samples always give the same bytes."""
    buffer, lines = io.BytesIO(), [f"v1.2 {len(samples)}"]
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, files in samples.items():
            places = []
            for extension, content in files.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size, member.mode = len(content), 0o644
                places.append(f"{extension} {tar.offset + TAR_BLOCK} {len(content)} {member.name}")
                tar.addfile(member, io.BytesIO(content))
            lines.append(" ".join(places))
    content = buffer.getvalue()
    _write(out / f"{stem}.tar", content)
    _write(out / f"{stem}.idx", ("\n".join(lines) + "\n").encode())
    return Shard(f"{stem}.tar", len(samples), len(content), hashlib.sha256(content).hexdigest())


def _read(spool: BinaryIO, offset: int, sizes: list[int]) -> dict[str, bytes]:
    """A sample's files back from the spool."""
    spool.seek(offset)
    return dict(zip(KEYS, (spool.read(size) for size in sizes), strict=True))


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
