"""Dealing: the samples of a split, in the order of their ids' SHA-256, cut into shards of equal weight.

Neighbours in a source folder, such as views of one person, do not stay neighbours, and the same samples give the same
bytes on any machine, however many processes made the blocks.

Shards are cut by count where that leaves each shard's bytes within one sample of the mean, or within `EVEN` of it, as
it does when samples are of one kind; else where the bytes ask for it, and then each shard is within one sample of the
mean. No shard is empty.

Beside each `SPLIT-000000.tar` lies `SPLIT-000000.idx`, DALI's index: a line `v1.2 SAMPLES`, then per sample a line of
`extension offset size name` for each of its files, offsets being those of the content in the tar.
"""

import hashlib
import io
import os
import tarfile
import weakref
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from spt_dist.data.manifest import Shard, Split
from spt_dist.data.packing.blocks import stem
from spt_dist.data.packing.ledger import Ledger
from spt_dist.data.schema import KEYS, DataError
from spt_dist.data.storage import Storage

FEWEST_SHARDS = 8  # where there are enough samples for them
SAMPLES_FOR_SHARDS = 64
EVEN = 0.05
OPEN_BLOCKS = 128
TAR_BLOCK = 512


def deal_split(name: str, ledger: Ledger, blocks: Path, out: Storage, shard_samples: int) -> Split:
    """Write the shards of a split, whose blocks lie in the folder `blocks`; returns what the manifest says of them."""
    dealt = sorted(ledger.places(name).tolist(), key=lambda place: hashlib.sha256(ledger.ids[place].encode()).digest())
    places = np.array(dealt, np.int64)
    fewest = FEWEST_SHARDS if len(places) >= SAMPLES_FOR_SHARDS else 1
    count = max(fewest, -(-len(places) // shard_samples))
    bounds, opened = cut(tar_bytes(ledger.sizes[places]), count), _Blocks(blocks)
    shards = []
    for number in range(count):
        chosen = range(bounds[number], bounds[number + 1])
        keys = (f"{position:08d}" for position in chosen)
        samples = dict(zip(keys, opened.read(ledger, dealt[chosen.start : chosen.stop]), strict=True))
        shards.append(_write_shard(out, f"{name}-{number:06d}", samples))
    return Split(shards, ledger.label_fractions(places), ledger.joint_visibility(places))


def tar_bytes(sizes: Int64[np.ndarray, "n files"]) -> Int64[np.ndarray, "n"]:
    """What samples weigh in a tar: each file has a header and is filled up to whole blocks."""
    return (TAR_BLOCK + -(-sizes // TAR_BLOCK) * TAR_BLOCK).sum(1)


def cut(weights: Int64[np.ndarray, "n"], count: int) -> list[int]:
    """Where to cut samples of these weights into `count` shards: the first of each, and the end."""
    samples, ends = len(weights), np.concatenate(([0], np.cumsum(weights)))
    mean = ends[-1] / count
    by_count = [samples * number // count for number in range(count + 1)]
    if np.abs(np.diff(ends[by_count]) - mean).max() <= max(EVEN * mean, weights.max()):
        return by_count
    bounds = [0]
    for number in range(1, count):
        after = int(np.searchsorted(ends, mean * number))
        nearest = after - (ends[after] - mean * number > mean * number - ends[after - 1])
        bounds.append(int(min(max(nearest, bounds[-1] + 1), samples - (count - number))))
    return [*bounds, samples]


class _Block:
    """An opened block, closed when it is forgotten."""

    def __init__(self, path: Path) -> None:
        self.path, self.descriptor = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)


class _Blocks:
    """The bytes of samples in blocks; those read last stay open."""

    def __init__(self, folder: Path) -> None:
        self._open = lru_cache(maxsize=OPEN_BLOCKS)(lambda number: _Block(folder / f"{stem(number)}.bin"))

    def read(self, ledger: Ledger, places: list[int]) -> list[dict[str, bytes]]:
        """The files of some samples in their order; each block is opened once."""
        found = {place: self._read(ledger, place) for place in sorted(places)}
        return [found[place] for place in places]

    def _read(self, ledger: Ledger, place: int) -> dict[str, bytes]:
        sizes, block = ledger.sizes[place].tolist(), self._open(int(ledger.block[place]))
        content = os.pread(block.descriptor, sum(sizes), int(ledger.offset[place]))
        if len(content) != sum(sizes):
            raise DataError(f"`{block.path}` ends early; pack without --resume")
        ends = list(accumulate(sizes))
        return {key: content[end - size : end] for key, size, end in zip(KEYS, sizes, ends, strict=True)}


def _write_shard(out: Storage, name: str, samples: dict[str, dict[str, bytes]]) -> Shard:
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
    out.write(f"{name}.tar", content)
    out.write(f"{name}.idx", ("\n".join(lines) + "\n").encode())
    return Shard(f"{name}.tar", len(samples), len(content), hashlib.sha256(content).hexdigest())
