"""What packing costs: pictures repeated under new ids, each number packed by a process of its own.

Repetition changes neither a picture's work nor the memory of the process; the files lie in the machine's cache, so
reading them costs less than from a disk. A million is extrapolated by the core seconds per picture of the largest run,
which are the sum over all processes of a longer one; looking for copies is timed apart, since here all are copies.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spt_dist.data.importers import Row, read_row, read_rows
from spt_dist.data.likeness import likeness
from spt_dist.data.pack import pack_rows
from spt_dist.data.schema import Sample

TARGET = 1_000_000
LOOKED_AT = 200
SPLIT = "train"


@dataclass(frozen=True)
class Point:
    """One number of pictures: seconds on the clock and of cores, and the process's memory before and at its peak."""

    pictures: int
    seconds: float
    core_seconds: float
    start_bytes: int
    peak_bytes: int
    shard_bytes: int


@dataclass(frozen=True)
class Cost:
    """The measured points, and what follows from the largest for a million; `look_s` is one picture's likeness."""

    points: list[Point]
    look_s: float
    price: float  # of a core hour

    @property
    def core_hours(self) -> float:
        """Of a million pictures, looking for copies included."""
        most = max(self.points, key=lambda point: point.pictures)
        return TARGET * (most.core_seconds / most.pictures + self.look_s) / 3600

    @property
    def growth_bytes(self) -> float:
        """Of memory's peak, for each further picture."""
        least, *_, most = sorted(self.points, key=lambda point: point.pictures)
        return (most.peak_bytes - least.peak_bytes) / (most.pictures - least.pictures)

    def to_tree(self) -> dict[str, Any]:
        """As JSON holds it."""
        extrapolated = {"pictures": TARGET, "core_hours": self.core_hours, "cost": self.core_hours * self.price}
        return asdict(self) | {"growth_bytes": self.growth_bytes, "extrapolated": extrapolated}


def measure(folder: Path, counts: list[int], size: tuple[int, int], price: float, say: Callable[[str], None]) -> Cost:
    """Pack the folder's training pictures, repeated, to each of these numbers; two or more of them."""
    points = []
    for count in counts:
        with get_context("spawn").Pool(1) as process:
            points.append(process.apply(_pack, (folder, count, size)))
        say(in_words(points[-1]))
    return Cost(points, _look_s(folder), price)


def in_words(point: Point) -> str:
    """A line for a point."""
    return (
        f"{point.pictures:,} pictures: {point.pictures / point.seconds:,.0f} a second, "
        f"{1000 * point.core_seconds / point.pictures:.2f} core-ms each; memory {point.start_bytes / 1e6:.0f} MB "
        f"before, {point.peak_bytes / 1e6:.0f} MB at its peak; {point.shard_bytes / 1e6:.1f} MB of shards"
    )


def repeated(folder: Path, count: int) -> Iterator[Row]:
    """So many rows, the folder's own again and again, each with an id of its own."""
    rows = list(read_rows(folder, SPLIT))
    for number in range(count):
        row = rows[number % len(rows)]
        yield row._replace(id=f"{row.id}-{number // len(rows):06d}")


def _pack(folder: Path, count: int, size: tuple[int, int]) -> Point:
    with TemporaryDirectory() as out:
        before, started, at_work = _memory("VmRSS"), time.perf_counter(), time.process_time()
        manifest = pack_rows(repeated(folder, count), Path(out) / "shards", size, "whole")
        seconds, core_seconds = time.perf_counter() - started, time.process_time() - at_work
    written = sum(shard.bytes for shard in manifest.splits[SPLIT].shards)
    return Point(count, seconds, core_seconds, before, _memory("VmHWM"), written)


def _memory(what: str) -> int:
    """This process's memory in bytes, as Linux tells it: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def _look_s(folder: Path) -> float:
    read = (read_row(row) for row in islice(read_rows(folder, SPLIT), LOOKED_AT))
    images = [sample.image for sample in read if isinstance(sample, Sample)]
    started = time.process_time()
    for image in images:
        likeness(image)
    return (time.process_time() - started) / len(images)
