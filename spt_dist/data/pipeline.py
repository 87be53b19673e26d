"""The reader of a training run: endless pairs of source and target batches from shards.

A stream (`dali` or `opencv`) gives a rank's decoded batches; what is the same for both happens here: the flip, drawn
once per sample from (seed, rank, batch) and applied to image, labels and joints together, and the pairing. The targets
of a batch are the sources of the batch behind it, so in an epoch every sample is source once and target once, and
each pairing is new in the next epoch.

Only uint8 images, uint8 label maps and joints leave the reader: `4 h w + 216` bytes a sample.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spt_dist import config
from spt_dist.data import dali
from spt_dist.data.manifest import Manifest
from spt_dist.data.opencv import OpenCVStream, read_tars
from spt_dist.data.plan import Plan, Stream
from spt_dist.data.schema import Batch, DataError, Pairs, Sample, decode


def open_reader(
    data: config.Data,
    split: str,
    *,
    batch: int,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 0,
    device: str = "cpu",
) -> "Reader":
    """The reader of one rank, giving batches of `batch` samples on `device` (`cpu`, `cuda` or `cuda:N`).

    `data.reader` picks DALI or webdataset; `auto` is DALI where it is installed. The two read in different orders.

    Raises:
        DataError: shards are missing, have another size than `data.image_size`, or hold too few samples for a batch on
            every rank; or DALI is asked for and not installed.
    """
    manifest = Manifest.load(data.shards)
    if manifest.size != tuple(data.image_size):
        raise DataError(
            f"the shards in `{data.shards}` hold {manifest.size} px (height, width) but `data.image_size` is "
            f"{tuple(data.image_size)}; set it so, or pack again"
        )
    found, needed = manifest.split(split).samples, world_size * max(batch, 2)
    if found < needed:
        raise DataError(
            f"`{data.shards}` has {found} samples in `{split}`, {world_size} rank(s) with batches of {batch} need "
            f"{needed}; lower `data.batch` or `train.workers`, or pack more"
        )
    plan = Plan(manifest, split, batch, rank, world_size, seed, data.shuffle_buffer, device)
    if data.reader == "dali" and not dali.available():
        raise DataError("`data.reader` is `dali`, which is not installed (Linux x86_64 only); set it to `webdataset`")
    if data.reader == "webdataset" or not dali.available():
        return Reader(plan, OpenCVStream(plan), data.flip)
    return Reader(plan, dali.DaliStream(plan), data.flip)


def read_split(shards: Path | str, split: str) -> Iterator[Sample]:
    """Every sample of a split, decoded, in the order of the shards: for evaluation.

    Raises:
        DataError: the shards are missing or damaged.
    """
    return map(decode, read_tars(Manifest.load(shards).paths(split)))


class _Drawn(NamedTuple):
    """A batch, its number in the rank's stream, and the position before it."""

    number: int
    position: dict[str, Any]
    batch: Batch


class Reader:
    """An endless iterator over `Pairs` that can be continued elsewhere, exactly."""

    def __init__(self, plan: Plan, stream: Stream, flip: bool) -> None:
        self._plan = plan
        self._stream = stream
        self._flip = flip
        self._number = 0  # of the next batch to draw
        self._last: _Drawn | None = None  # the sources served last
        self._ahead: _Drawn | None = None  # the sources to serve next

    def __iter__(self) -> Iterator[Pairs]:
        """The reader itself."""
        return self

    def __next__(self) -> Pairs:
        """The next pairs."""
        source = self._ahead or self._draw()
        ahead = self._draw()
        target = _pair(source.batch, [ahead.batch, source.batch] + ([self._last.batch] if self._last else []))
        self._last, self._ahead = source, ahead
        return Pairs(source.batch, target)

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands, in numbers, strings and bytes; every rank has its own.

        It is the position before the last sources, from which two draws restore the rest, and what must not differ.
        """
        if self._last is None:
            number, position = self._number, self._stream.position()
        else:
            number, position, _ = self._last
        return self._identity() | {"served": self._last is not None, "number": number, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another reader stood; `DataError` when that one read other data or divided them otherwise."""
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise DataError(
                    f"the reader's saved `{name}` is {state.get(name)!r} but this run's is {own!r}: its position means "
                    "nothing here; resume with the same data and division, or start a new run"
                )
        self._number = state["number"]
        self._stream.seek(state["position"])
        self._last, self._ahead = (self._draw(), self._draw()) if state["served"] else (None, None)

    def _identity(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "stream": type(self._stream).__name__,
            "data_hash": plan.manifest.data_hash,
            "split": plan.split,
            "shards": len(plan.manifest.splits[plan.split].shards),
            "world_size": plan.world_size,
            "rank": plan.rank,
            "batch": plan.batch,
            "seed": plan.seed,
            "shuffle_buffer": plan.shuffle_buffer,
            "flip": self._flip,
        }

    def _draw(self) -> _Drawn:
        number, position, batch = self._number, self._stream.position(), self._stream.draw()
        self._number += 1
        if self._flip:
            draw = np.random.default_rng((self._plan.seed, self._plan.rank, number)).random(len(batch.ids)) < 0.5
            batch = batch.flip(torch.from_numpy(draw).to(batch.images.device))
        return _Drawn(number, position, batch)


def _pair(source: Batch, pools: list[Batch]) -> Batch:
    """The first of the pools, turned by as few slots as possible, in which no slot has its source's id.

    Nearly always that is the first pool as it is. Where two epochs meet, a sample may follow itself; then the slots are
    turned, or the sources themselves are, or, in batches of one, the sources before them stand in.
    """
    count = len(source.ids)
    for pool, turn in product(pools, range(count)):
        ids = pool.ids[turn:] + pool.ids[:turn]
        if all(own != other for own, other in zip(source.ids, ids, strict=True)):
            return pool if turn == 0 else Batch(ids, *(tensor.roll(-turn, 0) for tensor in pool[1:]))
    raise DataError(f"no other sample can be paired with {source.ids}; the split needs at least two readable samples")
