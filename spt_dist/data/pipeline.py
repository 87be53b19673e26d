"""The reader of a training run: endless pairs of source and target batches from shards.

`order` says who comes when, `dali` or `opencv` decodes; what is the same for both happens here: which part of a batch
is this rank's, the flip of image, labels and joints together, and the pairing. Mostly the targets of a batch are the
sources of the batch behind it, and are decoded once.

Only uint8 images, uint8 label maps and joints leave the reader: `4 h w + 216` bytes a sample. To a GPU cross
`3.5 h w + 216` from OpenCV, whose label maps go two pixels a byte, and the JPEG itself from DALI, which decodes there.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch

from spt_dist import config
from spt_dist.data import dali, opencv
from spt_dist.data.files import Files, ShardError
from spt_dist.data.manifest import Manifest
from spt_dist.data.order import Order, Place
from spt_dist.data.plan import Decode, Plan
from spt_dist.data.schema import Batch, DataError, Pairs, Sample, decode

logger = logging.getLogger(__name__)


def open_reader(
    data: config.Data,
    split: str,
    *,
    rank: int = 0,
    ranks: int = 1,
    accumulate: int = 1,
    seed: int = 0,
    device: str = "cpu",
    tell: Callable[[str], None] = logger.warning,
) -> "Reader":
    """The reader of one of `ranks` ranks, on `device` (`cpu`, `cuda` or `cuda:N`).

    Each time it gives the rank's part of one of the `accumulate` parts of `data.batch`. `data.reader` picks DALI or
    webdataset's format with OpenCV; `auto` is DALI where it is installed. Order, flips and pairs are the same. A sample
    that becomes unreadable later is stood in for (`lost`), and `tell` is told.

    Raises:
        DataError: shards are missing, have another size than `data.image_size`, or hold less than a batch; or DALI is
            asked for and not installed.
        ConfigError: the batch does not divide.
    """
    share = micro_batch(data, ranks, accumulate)
    manifest = Manifest.load(data.shards)
    if manifest.size != tuple(data.image_size):
        raise DataError(
            f"the shards in `{data.shards}` hold {manifest.size} px (height, width) but `data.image_size` is "
            f"{tuple(data.image_size)}; set it so, or pack again"
        )
    found, needed = manifest.split(split).samples, max(data.batch, 2)
    if found < needed:
        few = f"`{data.shards}` has {found} samples in `{split}`, `data.batch` = {data.batch} needs {needed}"
        raise DataError(f"{few}; lower it, or pack more")
    plan = Plan(manifest, split, share, ranks, device, data.max_lost, tell)
    shards = [shard.samples for shard in manifest.splits[split].shards]
    order = Order(shards, batch=data.batch, seed=seed, shuffle_buffer=data.shuffle_buffer, flip=data.flip)
    if data.reader == "dali" and not dali.available():
        raise DataError("`data.reader` is `dali`, which is not installed (Linux x86_64 only); set it to `webdataset`")
    with_dali = data.reader != "webdataset" and dali.available()
    identity = {
        "reader": "dali" if with_dali else "webdataset",
        "data_hash": manifest.data_hash,
        "split": split,
        "batch": data.batch,
        "seed": seed,
        "shuffle_buffer": data.shuffle_buffer,
        "flip": data.flip,
    }
    return Reader(plan, order, rank, dali.decode if with_dali else opencv.decode, identity)


def micro_batch(data: config.Data, ranks: int, accumulate: int) -> int:
    """Samples per rank and micro-batch; `ConfigError` when the batch does not divide."""
    share, rest = divmod(data.batch, ranks * accumulate)
    if rest or not share:
        raise config.ConfigError(
            f"`data.batch` = {data.batch} does not divide among {ranks} worker(s) x `train.accumulate` = {accumulate}; "
            f"choose a multiple of {ranks * accumulate}"
        )
    return share


def read_split(shards: Path | str, split: str) -> Iterator[Sample]:
    """Every sample of a split, decoded, in the order of the shards: for evaluation, so none may be lost.

    Raises:
        DataError: the shards are missing or not what was packed; the message names shard or sample.
    """
    manifest = Manifest.load(shards)
    files = Files(manifest, split)
    return (_decode(files, number) for number in range(manifest.splits[split].samples))


def _decode(files: Files, number: int) -> Sample:
    try:
        return decode(files.read(number))
    except ShardError:
        raise
    except DataError as error:
        raise DataError(f"{files.name(number)}: {error}") from None


class _Part(NamedTuple):
    """One rank's sources and targets; `known` if the sources were targets a batch before, and are decoded."""

    sources: list[Place]
    targets: list[Place]
    known: bool


class Reader:
    """An endless iterator over `Pairs` that can be continued elsewhere, by any number of ranks, exactly.

    `identity` is what decides order and content.
    """

    def __init__(self, plan: Plan, order: Order, rank: int, decode: Decode, identity: dict[str, Any]) -> None:
        self._read = partial(_read, plan, order, rank, decode)
        self._identity = identity
        self._seek(0)

    def __iter__(self) -> Iterator[Pairs]:
        """The reader itself."""
        return self

    def __next__(self) -> Pairs:
        """The next pairs."""
        self._position, pairs = next(self._pairs)
        return pairs

    def state_dict(self) -> dict[str, Any]:
        """How many sources all ranks together have read, and what must not differ: the same on every rank."""
        return self._identity | {"position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another reader stood; `DataError` when that one read other data or read it otherwise."""
        for name, own in self._identity.items():
            if state.get(name) != own:
                raise DataError(
                    f"the reader's saved `{name}` is {state.get(name)!r} but this run's is {own!r}: its position means "
                    "nothing here; resume with the same data and batch, or start a new run"
                )
        self._seek(state["position"])

    def _seek(self, position: int) -> None:
        self._position, self._pairs = position, self._read(position)


def _read(plan: Plan, order: Order, rank: int, decode: Decode, begin: int) -> Iterator[tuple[int, Pairs]]:
    """A rank's pairs from a position on, each with the position behind it."""
    together = plan.batch * plan.ranks
    decoded, ahead = decode(plan, _numbers(plan, order, rank, begin)), deque[Batch]()
    for position, part in zip(count(begin + together, together), _parts(plan, order, rank, begin)):
        before = ahead.popleft() if len(ahead) == order.batch // together else None
        source = before if before and part.known else _mirror(next(decoded), part.sources)
        target = _mirror(next(decoded), part.targets)
        ahead.append(target)
        yield position, Pairs(source, target)


def _numbers(plan: Plan, order: Order, rank: int, begin: int) -> Iterator[list[int]]:
    """What `_read` decodes, in its order."""
    for part in _parts(plan, order, rank, begin):
        for places in (part.targets,) if part.known else (part.sources, part.targets):
            yield [place.number for place in places]


def _parts(plan: Plan, order: Order, rank: int, begin: int) -> Iterator[_Part]:
    """A rank's part of each micro-batch."""
    together, ahead = plan.batch * plan.ranks, deque[list[Place]]()
    for start in count(begin + rank * plan.batch, together):
        sources, targets = order.sources(start, plan.batch), order.targets(start, plan.batch)
        known = len(ahead) == order.batch // together and ahead.popleft() == sources
        yield _Part(sources, targets, known)
        ahead.append(targets)


def _mirror(batch: Batch, places: list[Place]) -> Batch:
    chosen = torch.tensor([place.mirrored for place in places], device=batch.images.device)
    return batch.flip(chosen) if any(place.mirrored for place in places) else batch
