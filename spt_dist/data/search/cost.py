"""What a search costs: measured on few, fitted by the formula of `run`, extrapolated.

    T(n) = n * (2 d + c + 2 m * sum_b q_b min(q_b n, pool) + e * keep)

`d` is timed on real shards. For the rest drawn or given people are repeated to make larger n, since no stage's time
depends on who they are: the first stage's time per source, over sum_b q_b min(q_b n, pool), is a line with slope 2 m
and intercept c; `e` is the exact stage's time per pair. One thread, everything in memory.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spt_dist.data.manifest import Manifest
from spt_dist.data.search.blocks import exact, first_stage
from spt_dist.data.search.people import People, Settings, draw_pool, join
from spt_dist.data.search.prune import open_buckets
from spt_dist.data.search.run import read_people

FORMULA = "T(n) = n * (2 d + c + 2 m * sum_b q_b min(q_b n, pool) + e * keep)"
SIZES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
TARGET = 1_000_000
SOURCES, EXACT_SOURCES, REPEATS = 128, 12, 3
SHARDS = 8  # are read, at most
VECTOR_BYTES, POSE_BYTES = 810, 18 * 3 * 4


@dataclass(frozen=True)
class Point:
    """One n: candidates seen per source, mirror images apart, and the seconds a source takes in each stage."""

    n: int
    candidates: float
    first_stage_s: float
    exact_s: float


@dataclass(frozen=True)
class Curve:
    """The fitted constants, in seconds on one core, with the points that they come from."""

    points: list[Point]
    shares: list[float]  # q_b
    d: float
    c: float
    m: float
    e: float
    keep: int
    pool: int
    map_px: int

    def seconds(self, n: int) -> float:
        """T(n) on one core."""
        seen = sum(q * min(q * n, self.pool) for q in self.shares)
        return n * (2 * self.d + self.c + 2 * self.m * seen + self.e * self.keep)

    def exhaustive_seconds(self, n: int) -> float:
        """The same with the criterion asked of everybody: n^2."""
        return n * (self.d + 2 * self.e * n * sum(q * q for q in self.shares))

    def pool_bytes(self, n: int) -> float:
        """What the candidates of the pool take."""
        each = VECTOR_BYTES + 2 * POSE_BYTES + self.map_px
        return each * sum(min(q * n, self.pool) for q in self.shares)

    def to_tree(self) -> dict[str, Any]:
        """As JSON: formula, constants, points, and what they say of `TARGET` samples."""
        return {
            "formula": FORMULA,
            "constants_s": {"d": self.d, "c": self.c, "m": self.m, "e": self.e},
            "keep": self.keep,
            "pool": self.pool,
            "q": self.shares,
            "points": [asdict(point) for point in self.points],
            "extrapolated": {
                "n": TARGET,
                "core_hours": self.seconds(TARGET) / 3600,
                "exhaustive_core_hours": self.exhaustive_seconds(TARGET) / 3600,
                "pool_bytes": self.pool_bytes(TARGET),
            },
        }


def measure(
    shards: Path, settings: Settings, sizes: tuple[int, ...] = SIZES, say: Callable[[str], None] = print
) -> Curve:
    """Time the stages on the samples of `train`, repeated up to each of `sizes`, with one thread of torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        paths = Manifest.load(shards).paths("train")[:SHARDS]
        read_s, people = _timed(lambda: join([read_people(path, settings) for path in paths]))
        counts = np.unique(people.worn, return_counts=True)[1]
        shares = [float(count) / len(people.ids) for count in counts]
        points = []
        for n in sizes:
            points.append(_point(people, n, shares, settings))
            say(f"n = {n}: {points[-1].first_stage_s * 1e3:.2f} ms first, {points[-1].exact_s * 1e3:.1f} ms exact")
    finally:
        torch.set_num_threads(threads)
    slope, intercept = np.polyfit([point.candidates for point in points], [point.first_stage_s for point in points], 1)
    pairs = [point.exact_s / min(settings.keep, 2 * point.candidates) for point in points]
    map_px = int(np.prod(people.labels.shape[1:]))
    return Curve(
        points, shares, read_s / len(people.ids), max(float(intercept), 0.0), max(float(slope) / 2, 0.0),
        float(np.median(pairs)), settings.keep, settings.pool, map_px,
    )  # fmt: skip


def draw_curve(curve: Curve) -> "np.ndarray":
    """Core hours over samples, logarithmic: measured points, the formula, the exhaustive search."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = np.geomspace(curve.points[0].n / 2, 2 * TARGET, 60)
    figure = Figure((6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(sizes, [curve.exhaustive_seconds(int(n)) / 3600 for n in sizes], color="#e45756", label="exhaustive")
    axes.loglog(sizes, [curve.seconds(int(n)) / 3600 for n in sizes], color="#4c78a8", label=FORMULA)
    measured = [point.n * (2 * curve.d + point.first_stage_s + point.exact_s) / 3600 for point in curve.points]
    axes.loglog(
        [point.n for point in curve.points], measured, "o", color="#4c78a8", label="measured per source, times n"
    )
    axes.loglog([TARGET], [curve.seconds(TARGET) / 3600], "*", ms=12, color="#f58518",
                label=f"{TARGET:,} samples: {curve.seconds(TARGET) / 3600:.1f} core hours")  # fmt: skip
    axes.set_xlabel("samples")
    axes.set_ylabel("hours of one core")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.uint8)[..., :3].copy()


def _point(people: People, n: int, shares: list[float], settings: Settings) -> Point:
    everybody = _repeat(people, n)
    buckets = open_buckets(draw_pool(everybody, settings))
    sources = everybody.take(range(min(SOURCES, n)))
    first_s, ranked = _timed(lambda: list(first_stage(sources, buckets, settings)))
    few = [(row, bucket, candidates.columns[: settings.keep]) for row, bucket, candidates in ranked[:EXACT_SOURCES]]
    exact_s, _ = _timed(lambda: [exact(sources.take([row]), bucket, columns) for row, bucket, columns in few])
    seen = sum(q * min(q * n, settings.pool) for q in shares)
    return Point(n, seen, first_s / len(sources.ids), exact_s / len(few))


def _repeat(people: People, n: int) -> People:
    """The same people over and over, each copy somebody else."""
    count = len(people.ids)
    repeated = people.take(index % count for index in range(n))
    names = [f"{name}/{index // count}" for index, name in enumerate(repeated.ids)]
    return repeated._replace(ids=names, identities=[""] * n)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The least seconds of some repeats, in processor time, and the result."""
    least, result = float("inf"), None
    for _ in range(REPEATS):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result
