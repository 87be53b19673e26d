"""One pass over the shards: each sample becomes a row of facts, its picture is forgotten.

A row is about 1 kB whatever the picture's size, so memory is bounded by `most`. Where a folder holds more samples, a
seeded draw is taken that keeps small splits whole: what is asked of a test split is asked of all of it.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8, UInt64

from spt_dist.body import Label
from spt_dist.data.files import Files
from spt_dist.data.likeness import likeness
from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import DataError, Sample, decode

MOST = 20_000
TOGETHER = 64  # samples decoded at a time
THUMB_PX = 16

Progress = Callable[[str, int, int | None], None]


class Facts(NamedTuple):
    """What is kept of each sample; a row is a sample, rows of a split follow each other.

    `split` is a place in `splits`, `number` the sample's in its split; `pixels` counts each label, `thumbs` are 16 x 16
    px, `digests` stand for the picture file's bytes. An unknown identity is "".
    """

    splits: tuple[str, ...]
    split: Int64[np.ndarray, "n"]
    number: Int64[np.ndarray, "n"]
    ids: list[str]
    identities: list[str]
    digests: list[bytes]
    joints: Float32[np.ndarray, "n 18 3"]
    pixels: Int32[np.ndarray, "n 10"]
    likeness: UInt64[np.ndarray, "n"]
    thumbs: UInt8[np.ndarray, "n t t 3"]

    def rows(self, split: str) -> Int64[np.ndarray, "m"]:
        """The rows of a split."""
        return np.flatnonzero(self.split == self.splits.index(split))

    def split_of(self, row: int) -> str:
        """The name of a row's split."""
        return self.splits[self.split[row]]

    def name(self, row: int) -> dict[str, str]:
        """How a row is listed."""
        return {"id": self.ids[row], "split": self.split_of(row)}


class Album:
    """The pictures behind the rows, read again for the few that are shown."""

    def __init__(self, manifest: Manifest, facts: Facts) -> None:
        self._files = {split: Files(manifest, split) for split in facts.splits}
        self._facts = facts

    def __getitem__(self, row: int) -> Sample:
        """The sample of a row."""
        return decode(self._files[self._facts.split_of(row)].read(int(self._facts.number[row])))


def read_facts(manifest: Manifest, most: int, seed: int, progress: Progress) -> Facts:
    """Read every sample, or `most` of them drawn by `seed`; all shards are compared with their SHA-256.

    Raises:
        DataError: there is no split, one is empty, or a shard is missing or not what was packed.
    """
    sizes = {name: split.samples for name, split in manifest.splits.items()}
    if not sizes or min(sizes.values()) == 0:
        empty = " and ".join(f"`{name}`" for name, count in sizes.items() if not count) or "every split"
        raise DataError(f"there are no samples in {empty} of `{manifest.folder}`; pack it again with `spt pack`")
    shares = allot(sizes, most)
    if sum(shares.values()) < sum(sizes.values()):
        manifest.verify()  # what is read whole is compared as it is read
    rows, done, total = [], 0, sum(shares.values())
    for place, (name, count) in enumerate(shares.items()):
        numbers = range(sizes[name])
        if count < sizes[name]:
            numbers = sorted(random.Random(f"{seed}/{name}").sample(numbers, count))
        for number, row in zip(numbers, _reduced(manifest, name, numbers), strict=True):
            rows.append((place, number, *row))
            done += 1
            progress("looking at samples", done, total)
    split, number, ids, identities, digests, joints, pixels, alike, thumbs = zip(*rows, strict=True)
    return Facts(
        tuple(sizes),
        np.array(split, np.int64),
        np.array(number, np.int64),
        list(ids),
        list(identities),
        list(digests),
        np.stack(joints),
        np.stack(pixels).astype(np.int32),
        np.array(alike, np.uint64),
        np.stack(thumbs),
    )


def allot(sizes: dict[str, int], most: int) -> dict[str, int]:
    """How many samples of each split are looked at: small splits whole, the others by equal parts of the rest."""
    shares, left = dict[str, int](), most
    for place, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(size, max(1, left // (len(sizes) - place)))
        left -= shares[name]
    return {name: shares[name] for name in sizes}


def _reduced(manifest: Manifest, split: str, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """The rows of some samples, decoded by all processors."""
    files = Files(manifest, split)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(numbers), TOGETHER):
            yield from pool.map(_reduce, [files.read(number) for number in numbers[start : start + TOGETHER]])


def _reduce(files: dict[str, Any]) -> tuple[Any, ...]:
    sample = decode(files)
    return (
        sample.id,
        sample.identity or "",
        hashlib.blake2b(files["jpg"], digest_size=16).digest(),
        sample.joints,
        np.bincount(sample.labels.ravel(), minlength=len(Label))[: len(Label)],
        likeness(sample.image),
        cv2.resize(sample.image, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA),
    )
