"""How much the first stage costs in quality: the pruned search against the exhaustive one.

For some sources the criterion is computed for **every** admissible candidate of the pool. What is there to be gained is
the mean over all of them (what a random one scores on average) minus the least; recovered is the share of it that
remains when only the first stage's `keep` are compared:

    recovered = sum_s (mean - pruned best) / sum_s (mean - exhaustive best)
"""

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import DataError
from spt_dist.data.search.blocks import exact, first_stage
from spt_dist.data.search.people import People, Settings, join
from spt_dist.data.search.prune import Bucket, open_buckets
from spt_dist.data.search.run import Bars, Mapper, here, no_bars, read_people, read_pool

AT_ONCE = 4  # sources per task


class Compared(NamedTuple):
    """One source: its admissible candidates' number and mean score, the best of all, the best of those kept."""

    candidates: int
    mean: float
    exhaustive: float
    pruned: float


class Recall(NamedTuple):
    """Means over `sources`, and the share of the gain that pruning recovers."""

    sources: int
    candidates: float
    mean: float
    exhaustive: float
    pruned: float

    @property
    def recovered(self) -> float:
        """1 is the exhaustive search, 0 a random choice."""
        gain = self.mean - self.exhaustive
        return (self.mean - self.pruned) / gain if gain > 0 else 1.0


def compare(sources: People, buckets: dict[int, Bucket], settings: Settings) -> list[Compared]:
    """Both searches for every source that has a candidate."""
    rows = []
    for row, bucket, candidates in first_stage(sources, buckets, settings):
        scores = exact(sources.take([row]), bucket, candidates.columns)
        keep = candidates.estimate.topk(min(settings.keep, len(scores)), largest=False).indices
        rows.append(Compared(len(scores), *(float(x) for x in (scores.mean(), scores.min(), scores[keep].min()))))
    return rows


def summarise(rows: Iterable[Compared]) -> Recall:
    """Means; `DataError` where no source has a candidate."""
    rows = list(rows)
    if not rows:
        raise DataError("none of the sources drawn has an admissible candidate; lower --min-pose-distance")
    return Recall(len(rows), *(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def check(
    shards: Path,
    count: int,
    settings: Settings,
    split: str = "train",
    mapper: Mapper = here,
    bars: Bars = no_bars,
) -> Recall:
    """Compare on `count` samples of a split, drawn by the settings' seed."""
    paths = Manifest.load(shards).paths(split)
    buckets = open_buckets(read_pool(paths, settings, mapper, bars))
    sources = _draw(paths, count, settings)
    tasks = [sources.take(range(i, min(i + AT_ONCE, len(sources.ids)))) for i in range(0, len(sources.ids), AT_ONCE)]
    rows, done = [], 0
    with bars("comparing samples") as progress:
        progress(0, len(sources.ids))
        for index, compared in mapper(partial(compare, buckets=buckets, settings=settings), tasks):
            rows.append((index, compared))
            done += len(tasks[index].ids)
            progress(done, len(sources.ids))
    return summarise(one for _, compared in sorted(rows) for one in compared)


def _draw(paths: list[str], count: int, settings: Settings) -> People:
    """Those with the least hash, shard by shard."""

    def lot(name: str) -> bytes:
        return hashlib.blake2b(f"recall/{settings.seed}/{name}".encode()).digest()

    drawn: list[People] = []
    for path in paths:
        people = join([*drawn, read_people(path, settings)])
        drawn = [people.take(sorted(range(len(people.ids)), key=lambda row: lot(people.ids[row]))[:count])]
    return drawn[0]
