"""What a picture costs on a processor: every runtime side by side, the trained model's pace, and what a cache saves.

    spt bench serve --json results/serve_speed.json

Four parts, each measured in turn in one process: one direction of the paper's generator by every runtime
(`bench_backends`); the trained generators at the wanted size, in batches; the share of what is not their networks; and
a source that was encoded before against one that was not.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from rich.table import Table

from spt_dist import config
from spt_dist.bench_backends import KEPT, OURS, PUBLISHED, Timed
from spt_dist.data.synthetic import draw, sample_person, sample_pose
from spt_dist.encodings import Encodings, source_key
from spt_dist.geometry import heatmaps, part_warps
from spt_dist.infer import Predictor
from spt_dist.models.inputs import to_bytes, to_labels, view
from spt_dist.person import Person
from spt_dist.provenance import encode

BATCHES = (1, 2, 4)
RATIO_TARGET, PACE_TARGET, SHARE_TARGET = 2.5, 2.0, 0.05
Call = Callable[[], object]


class Pace(NamedTuple):
    """Seconds of a batch at the median."""

    batch: int
    seconds: float

    @property
    def pictures_per_s(self) -> float:
        """Over the whole batch."""
        return self.batch / self.seconds


class Kept(NamedTuple):
    """Seconds of a picture whose source was encoded before, and of one whose was not; bytes that the source takes."""

    size: tuple[int, int]
    hit_s: float
    miss_s: float
    nbytes: int


def paces(predictor: Predictor, rounds: int) -> list[Pace]:
    """`generate_batch` in each of `BATCHES`."""
    calls = {}
    for batch in BATCHES:
        people = [_person(seed, predictor.size) for seed in range(batch)]
        columns = [list(column) for column in zip(*people, strict=True)]
        targets = [_person(100 + seed, predictor.size).joints for seed in range(batch)]
        calls[batch] = partial(predictor.generate_batch, *columns, targets)
    return [Pace(batch, seconds) for batch, seconds in _medians(calls, rounds).items()]


def shares(predictor: Predictor, rounds: int) -> dict[str, float]:
    """Seconds of a whole picture, `total`, and of each stage of it that is not a network, by name."""
    person, target = _person(0, predictor.size), _person(100, predictor.size).joints
    framed = predictor.frame(person)
    image, labels, joints = (torch.from_numpy(each[None].copy()).to(predictor.device) for each in framed)
    wanted = torch.from_numpy(predictor.frame_target(target, predictor.size)[None]).to(predictor.device)
    data, stretch = predictor.settings.data, predictor.settings.networks.appearance.max_stretch
    pictures, parsing = predictor.draw(image, labels, joints, wanted)
    pixels = to_bytes(pictures)[0].cpu().numpy()

    def frame() -> None:
        predictor.frame(person)
        predictor.frame_target(target, predictor.size)

    def rasterise() -> None:
        view(image, labels, joints, data.heatmap_sigma_px)
        heatmaps(wanted, predictor.size, data.heatmap_sigma_px)

    calls: dict[str, Call] = {
        "total": lambda: encode(predictor.generate(*person, target).image, "png"),
        "frame": frame,
        "rasterise": rasterise,
        "part warps' geometry": lambda: part_warps(wanted, joints, predictor.size, stretch),
        "to bytes": lambda: (to_bytes(pictures).cpu(), to_labels(parsing).cpu()),
        "PNG": lambda: encode(pixels, "png"),
    }
    with torch.no_grad():
        return _medians(calls, rounds)


def cache(predictor: Predictor, rounds: int) -> Kept:
    """A picture with its source in the cache, against one with an empty cache."""
    person, target = _person(0, predictor.size), _person(100, predictor.size).joints
    targets = [predictor.frame_target(target, predictor.size)]
    kept = Encodings(10**10)

    def drawn(encodings: Encodings) -> None:
        encoded, _ = encodings.gather([source_key("", *person)], lambda _: predictor.encode_people([person]))
        predictor.draw_encoded(encoded, targets)

    calls: dict[str, Call] = {"miss": lambda: drawn(Encodings(10**10)), "hit": lambda: drawn(kept)}
    found = _medians(calls, rounds)
    return Kept(predictor.size, found["hit"], found["miss"], kept.nbytes)


def to_tree(
    directions: dict[str, Timed], pace: list[Pace], share: dict[str, float], caches: list[Kept], settings: config.Config
) -> dict:
    """Everything as nested dictionaries, with the ratios and targets."""
    ours, total = directions[OURS].times.median, share["total"]
    other = sum(seconds for name, seconds in share.items() if name != "total")
    return {
        "one direction": {
            "size": settings.data.image_size,
            "runtimes": {name: each._asdict() | {"times": each.times._asdict()} for name, each in directions.items()},
            "published / ours": directions[PUBLISHED].times.median / ours,
            "published, memory kept / ours": directions[KEPT].times.median / ours,
            "target": RATIO_TARGET,
        },
        "trained model": {
            "pictures_per_s": {str(each.batch): each.pictures_per_s for each in pace},
            "target": PACE_TARGET,
            "stages_s": share,
            "share before and after the networks": other / total,
            "share_target": SHARE_TARGET,
        },
        "cache": [each._asdict() | {"hit / miss": each.hit_s / each.miss_s} for each in caches],
    }


def to_tables(tree: dict) -> list[Table]:
    """For the terminal."""
    direction, model = tree["one direction"], tree["trained model"]
    runtimes = _table("One direction of the paper's generator", "runtime", "s", "eager / it", "apart of 255", "ready s")
    ours = direction["runtimes"][OURS]["times"]["median"]
    for name, each in direction["runtimes"].items():
        took = each["times"]["median"]
        runtimes.add_row(name, f"{took:.3f}", f"{ours / took:.2f}", f"{each['apart']:.3f}", f"{each['ready_s']:.1f}")
    ratio, kept = direction["published / ours"], direction["published, memory kept / ours"]
    runtimes.caption = f"published / eager {ratio:.2f}, with memory kept for both {kept:.2f}; target {RATIO_TARGET:g}"
    pace = _table("Trained model", "batch", "pictures/s")
    for batch, found in model["pictures_per_s"].items():
        pace.add_row(batch, f"{found:.2f}")
    stages = _table("Where a picture's time goes", "stage", "ms", "share")
    for name, took in model["stages_s"].items():
        stages.add_row(name, f"{1e3 * took:.2f}", f"{took / model['stages_s']['total']:.1%}")
    share = model["share before and after the networks"]
    stages.caption = f"before and after the networks {share:.1%}, target under {SHARE_TARGET:.0%}"
    caches = _table("Encoded sources kept", "size", "hit ms", "miss ms", "hit / miss", "MB a source")
    for each in tree["cache"]:
        shown = (f"{1e3 * each['hit_s']:.1f}", f"{1e3 * each['miss_s']:.1f}", f"{each['hit / miss']:.2f}")
        caches.add_row("x".join(map(str, each["size"])), *shown, f"{each['nbytes'] / 1e6:.1f}")
    return [runtimes, pace, stages, caches]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right" if column != columns[0] else "left")
    return table


def _medians(calls: dict, rounds: int) -> dict:
    """Each call's median seconds, all in turn, after one round that does not count."""
    seconds = {name: [] for name in calls}
    for _ in range(1 + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(found[1:]) for name, found in seconds.items()}


def _person(seed: int, size: tuple[int, int]) -> Person:
    rng = np.random.default_rng(seed)
    return Person(*draw(sample_person(rng), sample_pose(rng), size))
