"""Reading shards with webdataset and decoding with OpenCV: for every machine that DALI cannot be installed on.

An epoch is a chain of generators: shards in an order drawn from (seed, epoch), their files, samples grouped by stem, a
shuffle buffer. All ranks walk the same chain and each decodes every `world_size`-th sample of it: shards may be fewer
than ranks, and every rank has as many batches. Going back to a position walks the epoch's chain again and decodes
nothing.

One thread decodes a batch ahead.
"""

import logging
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, NoReturn

from webdataset.filters import shuffle
from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from spt_dist.data.plan import Plan
from spt_dist.data.schema import Batch, DataError, Sample, collate, decode

BROKEN_LIMIT = 0.01  # of the split's samples; one is always forgiven

logger = logging.getLogger(__name__)


def read_tars(paths: list[str]) -> Iterator[dict[str, Any]]:
    """The samples of some tars in order, undecoded, as {key: bytes} with webdataset's own `__key__` and `__url__`."""
    return group_by_keys(tar_file_expander(_open(paths), handler=_stop), handler=_stop)


class OpenCVStream:
    """A `Stream` through webdataset and OpenCV.

    A sample that cannot be decoded is named in the log and left out; when more than `BROKEN_LIMIT` of the split cannot,
    `draw` raises `DataError`.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._paths = plan.manifest.paths(plan.split)
        self._broken: dict[str, str] = {}  # key -> reason
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self.seek({"epoch": 0, "samples": 0})

    def draw(self) -> Batch:
        """The next batch; see `Stream`."""
        ahead = self._ahead or self._thread.submit(next, self._batches)
        self._position, batch = ahead.result()
        self._ahead = self._thread.submit(next, self._batches)
        if self._plan.device == "cpu":
            return batch
        return Batch(batch.ids, *(tensor.pin_memory() for tensor in batch[1:])).to(self._plan.device)

    def position(self) -> dict[str, Any]:
        """The epoch, and how many of its samples this rank is through with."""
        return dict(self._position)

    def seek(self, position: dict[str, Any]) -> None:
        """See `Stream`."""
        self._position = dict(position)
        self._batches = self._read(position["epoch"], position["samples"])
        self._ahead: Future[tuple[dict[str, Any], Batch]] | None = None

    def _read(self, epoch: int, done: int) -> Iterator[tuple[dict[str, Any], Batch]]:
        """Batches without end, each with the position behind it."""
        plan = self._plan
        used = plan.batches * plan.batch * plan.world_size
        while True:
            batch: list[Sample] = []
            start, given = done, 0
            for files in islice(self._epoch(epoch), plan.rank + done * plan.world_size, used, plan.world_size):
                done += 1
                batch += self._decode(files)
                if len(batch) == plan.batch:
                    yield {"epoch": epoch, "samples": done}, collate(batch)
                    batch, given = [], given + 1
            if start == 0 and not given:
                raise DataError(
                    f"an epoch of `{plan.split}` gives rank {plan.rank} no batch of {plan.batch} readable samples; "
                    "pack the shards again, or lower `data.batch`"
                )
            epoch, done = epoch + 1, 0

    def _epoch(self, epoch: int) -> Iterator[dict[str, Any]]:
        """All ranks' undecoded samples in the epoch's order."""
        order = random.Random(f"{self._plan.seed}/{epoch}")
        paths = order.sample(self._paths, len(self._paths))
        size = self._plan.shuffle_buffer
        return shuffle(size, initial=size, rng=order)(read_tars(paths))

    def _decode(self, files: dict[str, Any]) -> list[Sample]:
        """The sample, or nothing if it is broken."""
        try:
            sample = decode(files)
            if sample.labels.shape != self._plan.manifest.size:
                raise DataError(f"it is {sample.labels.shape} px, the manifest says {self._plan.manifest.size}")
        except DataError as error:
            self._leave_out(f"sample {files['__key__']} of {files['__url__']}", str(error))
            return []
        return [sample]

    def _leave_out(self, name: str, reason: str) -> None:
        if name not in self._broken:
            logger.warning("left out %s: %s", name, reason)
        self._broken[name] = reason
        limit = max(1, int(BROKEN_LIMIT * self._plan.samples))
        if len(self._broken) > limit:
            listed = "\n".join(f"  {name}: {reason}" for name, reason in self._broken.items())
            raise DataError(f"more than {limit} samples cannot be read; pack the shards again:\n{listed}")


def _open(paths: list[str]) -> Iterator[dict[str, Any]]:
    """The streams that webdataset expands, each closed when the next is asked for."""
    for path in paths:
        with closing(gopen(path, "rb")) as stream:
            yield {"url": path, "stream": stream}


def _stop(error: Exception) -> NoReturn:
    """webdataset's handler for a broken tar."""
    raise DataError(f"a shard cannot be read: {error.args}; copy it again or pack again") from error
