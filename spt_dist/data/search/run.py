"""The search from shards to index: read everybody, draw the pool, search block after block, publish.

Work is given to a `Mapper`, here or on Ray, which may finish it in any order. A block is a range of one shard; finished
ones are kept, so a search that was broken off goes on where it was.

Cost and memory: with n samples, shares q_b of the kinds of clothes, and e, m, d, c the seconds of an exact pair, of a
pair in the first stage, of reading a sample and of describing it,

    T(n) = n * (2 d + c + 2 m * sum_b q_b min(q_b n, pool) + e * keep)

which is linear in n once the pool is full. Memory is the pool, under 2 kB for each of kinds * pool people, and a block.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spt_dist.data.files import read_tars
from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import DataError, Sample, decode
from spt_dist.data.search.blocks import Found, search_block
from spt_dist.data.search.index import Origin, Parts, read_index, write_index
from spt_dist.data.search.people import People, Settings, draw_pool, gather, join
from spt_dist.data.search.prune import Bucket, open_buckets

Task = TypeVar("Task")
Result = TypeVar("Result")
Mapper = Callable[[Callable[[Any], Any], list[Any]], Iterator[tuple[int, Any]]]  # gives (index of the task, result)
Progress = Callable[[int, int | None], None]
Bars = Callable[[str], AbstractContextManager[Progress]]  # opens a named progress bar


class Block(NamedTuple):
    """Samples `start` to `stop` of a shard."""

    shard: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its part."""
        return f"{Path(self.shard).stem}-{self.start:06d}-{self.stop:06d}"


class Summary(NamedTuple):
    """What a search found. `resumed` samples were searched before it was broken off."""

    samples: int
    with_pairs: int
    pairs: int
    resumed: int = 0


@contextmanager
def no_bars(what: str) -> Iterator[Progress]:
    """Progress that nobody sees."""
    yield lambda done, total: None


def here(function: Callable[[Task], Result], tasks: list[Task]) -> Iterator[tuple[int, Result]]:
    """The mapper of this process: one after another."""
    yield from ((index, function(task)) for index, task in enumerate(tasks))


def search(
    shards: Path,
    output: Path,
    settings: Settings,
    *,
    split: str = "train",
    block: int = 256,
    mapper: Mapper = here,
    bars: Bars = no_bars,
) -> Summary:
    """Find every sample's pseudo pairs and write the index; an index of the same origin is left as it is.

    Raises:
        DataError: shards are missing or damaged; the output, or its parts, are of another origin; nobody has a pair.
    """
    manifest = Manifest.load(shards)
    paths, origin = manifest.paths(split), Origin.of(manifest, split, settings)
    if output.exists():
        return _already(output, origin)
    parts = Parts(output, origin)
    blocks = split_blocks(manifest, split, block)
    missing = [one for one in blocks if not parts.done(one.name)]
    resumed = sum(one.stop - one.start for one in blocks if parts.done(one.name))
    if missing:
        manifest.verify(split)  # the index names its data by these sums
        buckets = open_buckets(read_pool(paths, settings, mapper, bars))
        work = partial(_search_range, buckets=buckets, settings=settings)
        done, total = resumed, sum(one.stop - one.start for one in blocks)
        with bars("searching samples") as progress:
            progress(done, total)
            for index, found in mapper(work, missing):
                parts.write(missing[index].name, found)
                done += missing[index].stop - missing[index].start
                progress(done, total)
    rows = [row for one in blocks for row in parts.read(one.name)]
    if not rows:
        parts.remove()
        raise DataError(
            f"nobody of `{split}` in `{shards}` has a pseudo pair; lower --min-pose-distance, now "
            f"{settings.min_pose_distance} torso lengths squared, or pack more people"
        )
    summary = Summary(manifest.split(split).samples, len({row.id for row in rows}), len(rows), resumed)
    write_index(output, rows, origin.to_tree() | {"samples": summary.samples, "with_pairs": summary.with_pairs})
    parts.remove()
    return summary


def split_blocks(manifest: Manifest, split: str, block: int) -> list[Block]:
    """The shards of a split in ranges of at most `block` samples, in order."""
    return [
        Block(str(manifest.folder / shard.name), start, min(start + block, shard.samples))
        for shard in manifest.split(split).shards
        for start in range(0, shard.samples, block)
    ]


def read_people(shard: str, settings: Settings, start: int = 0, stop: int | None = None) -> People:
    """Some samples of a shard, reduced."""
    return gather(read_samples(shard, start, stop), settings.map_height_px)


def read_samples(shard: str, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
    """Some samples of a shard, decoded."""
    return map(decode, islice(read_tars([shard]), start, stop))


def read_pool(paths: list[str], settings: Settings, mapper: Mapper = here, bars: Bars = no_bars) -> People:
    """The candidates of all shards; a shard's own pool is drawn where it is read."""
    pool = None
    with bars("reading shards") as progress:
        progress(0, len(paths))
        for done, (_, people) in enumerate(mapper(partial(_shard_pool, settings=settings), paths), start=1):
            pool = draw_pool(people if pool is None else join([pool, people]), settings)
            progress(done, len(paths))
    assert pool is not None, "a split has at least one shard"
    return pool


def _shard_pool(shard: str, settings: Settings) -> People:
    return draw_pool(read_people(shard, settings), settings)


def _search_range(block: Block, buckets: dict[int, Bucket], settings: Settings) -> list[Found]:
    return search_block(read_people(block.shard, settings, block.start, block.stop), buckets, settings)


def _already(output: Path, origin: Origin) -> Summary:
    rows, about = read_index(output)
    if difference := origin.refusal(about):
        raise DataError(f"`{output}` is of another search: {difference}; remove it, or name another output")
    return Summary(about["samples"], about["with_pairs"], len(rows), about["samples"])
