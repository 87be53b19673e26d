"""Preparing samples on a processor: ours, from shards to what the networks read, beside the published way.

Both sides prepare the same photos in pairs, a source and the pose of another person. Published decodes, rasterises and
joins in DataLoader's processes. Ours runs as many ranks of its reader, a process each with one thread of torch: decode,
flip, join, and the scene that training builds of it (`train.scene`), which on a GPU is built there. What both prepare
is compared first. Then all ways run in turn, round by round, so that whatever else the machine does falls on all of
them; numbers are medians. Every process keeps freed memory, so that nobody's page faults are counted.
"""

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Literal, NamedTuple, TypeVar

import torch
from spt_kernels import keep_memory, part_masks
from torch.utils.data import DataLoader

from spt_dist import config
from spt_dist.bench_data_published import Photo, PublishedPairs
from spt_dist.data import dali
from spt_dist.data.files import Files
from spt_dist.data.importers import read_folder
from spt_dist.data.manifest import Manifest
from spt_dist.data.opencv import crossing
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import KEYS, Pairs, collate, read_joints
from spt_dist.data.synthetic import draw_folder
from spt_dist.geometry import PartWarps, heatmaps
from spt_dist.models.inputs import View, foreground, halve_image, halve_parsing
from spt_dist.train.scene import Scenes, build_scene

Decoder = Literal["dali", "webdataset"]
PHOTOS, MOST_PEOPLE = 64, 1024  # that published is given; that are packed of what is given
COMPARED = 4  # pairs
PUBLISHED, DALI, OPENCV, ALL = "published", "dali", "webdataset + OpenCV", "webdataset + OpenCV, all pictures"
DECODERS: dict[str, Decoder] = {DALI: "dali", OPENCV: "webdataset", ALL: "webdataset"}
PICTURE_APART, MAP_APART, TRANSFORM_APART = 2.5 / 127.5, 1e-5, 1e-2

Name = TypeVar("Name")  # of a way: with its workers, or alone


class UnequalError(RuntimeError):
    """The two ways prepare different things, so they are not timed."""


class Round(NamedTuple):
    """Seconds of a sample: by the clock, of all cores together, and what of that is rasterising."""

    seconds: float
    cpu_s: float
    scene_cpu_s: float


class Found(NamedTuple):
    """Medians of rounds, and quantiles of the clock's seconds."""

    seconds: float
    p20: float
    p80: float
    cpu_s: float
    scene_cpu_s: float


Feed = Callable[[], Round]  # a way: prepares some samples


class OurFeed:
    """Ranks of one reader, a process each as in training, that build scenes.

    With `everything` they also prepare what ours never stores. The processes start with the first round.
    """

    def __init__(
        self, shards: Path, batch: int, workers: int, decoder: Decoder, samples: int, everything: bool = False
    ):
        data = config.Data(
            shards=str(shards), image_size=Manifest.load(shards).size, batch=batch * workers, reader=decoder
        )
        context = multiprocessing.get_context("spawn")
        self.ranks = [
            ProcessPoolExecutor(1, context, _begin_rank, (data, rank, workers, everything)) for rank in range(workers)
        ]
        self.batch, self.steps = batch, max(1, samples // (batch * workers))

    def __call__(self) -> Round:
        """As many steps of every rank as there are samples."""
        start, cpu = time.perf_counter(), cpu_s()
        begun = [rank.submit(_prepare, self.steps) for rank in self.ranks]
        rasterising = sum(each.result() for each in begun)
        made = self.steps * self.batch * len(self.ranks)
        return Round((time.perf_counter() - start) / made, (cpu_s() - cpu) / made, rasterising / made)


class _Rank(NamedTuple):
    """What the process of a rank holds."""

    reader: Iterator[Pairs]
    scenes: Scenes
    everything: bool


_rank: _Rank  # of this process


def _begin_rank(data: config.Data, rank: int, ranks: int, everything: bool) -> None:
    global _rank
    keep_memory()
    torch.set_num_threads(1)
    _rank = _Rank(open_reader(data, "train", rank=rank, ranks=ranks), Scenes(config.Config(data=data)), everything)


@torch.no_grad()
def _prepare(steps: int) -> float:
    """Some steps of this process's rank; the processor seconds of its thread that went into rasterising."""
    rasterising = 0.0
    for _ in range(steps):
        pairs = next(_rank.reader)
        start = time.thread_time()
        scene = _rank.scenes.build(pairs, None, own_pose=False)
        if _rank.everything:
            pictures_of(scene.target, scene.there)
        rasterising += time.thread_time() - start
    return rasterising


class PublishedFeed:
    """torch's DataLoader over the published pairs, with processes that live on."""

    def __init__(self, photos: list[Photo], sigma_px: float, batch: int, workers: int, samples: int):
        count = min(len(photos), max(1, samples // batch) * batch)
        pairs = PublishedPairs(photos[:count], sigma_px)
        with warnings.catch_warnings(action="ignore"):  # more workers than cores: that is asked
            self.loader = DataLoader(
                pairs, batch, num_workers=workers, multiprocessing_context="spawn", persistent_workers=True,
                worker_init_fn=_begin_worker,
            )  # fmt: skip
        self.samples = count

    def __call__(self) -> Round:
        """Once over the photos."""
        start, cpu = time.perf_counter(), cpu_s()
        with warnings.catch_warnings(action="ignore"):  # more workers than cores: that is asked
            for _ in self.loader:
                pass
        return Round((time.perf_counter() - start) / self.samples, (cpu_s() - cpu) / self.samples, 0.0)


def _begin_worker(worker: int) -> None:
    keep_memory()


def cpu_s() -> float:
    """Processor seconds of this process and of its children that live."""
    seconds = time.process_time()
    for child in multiprocessing.active_children():
        try:
            fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended meanwhile
            continue
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def pictures_of(seen: View, warps: PartWarps) -> list[torch.Tensor]:
    """What published prepares of a person and ours never stores: the parts' masks, everything at half the size.

    `warps` lead into the person's pose. Of a pair only the target's are new: the source was the last target.
    """
    half = (warps.size[0] // 2, warps.size[1] // 2)
    joints = torch.cat([seen.joints[..., :2] / 2, seen.joints[..., 2:]], dim=-1)
    return [
        part_masks(warps.quads, warps.size),
        halve_image(seen.image),
        foreground(halve_parsing(seen.parsing)).contiguous(),
        heatmaps(joints, half),
    ]


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this thread, and whatever it starts, on `count` cores.

    Raises:
        ValueError: there are fewer.
    """
    before = os.sched_getaffinity(0)
    if len(before) < count:
        raise ValueError(f"`--cores {count}`: this process may use {len(before)}; ask for at most as many")
    threads = torch.get_num_threads()
    os.sched_setaffinity(0, sorted(before)[:count])
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)


def shards_of(folder: Path, size: tuple[int, int], data: Path | None, given: Path | None, people: int) -> Path:
    """Shards of the wanted size in `folder`: of drawn people, of a folder of photos, or of given shards."""
    if given is not None and Manifest.load(given).size == size:
        return given
    out = folder / f"shards-{size[0]}x{size[1]}"
    if given is not None:
        pack(islice(read_split(given, "train"), MOST_PEOPLE), out, size, "whole")
    elif data is not None:
        pack(islice(read_folder(data, "train"), MOST_PEOPLE), out, size, "whole")
    else:
        draw_folder(folder / f"people-{size[0]}x{size[1]}", people, size, 0)
        pack(read_folder(folder / f"people-{size[0]}x{size[1]}", "train"), out, size, "whole")
    return out


def photos_of(shards: Path, folder: Path) -> tuple[list[Photo], float]:
    """The same bytes as files, for the published loader, and how many a sample has in a shard."""
    folder.mkdir(parents=True)
    manifest, photos, encoded = Manifest.load(shards), [], 0
    files = Files(manifest, "train")
    for number in range(min(PHOTOS, manifest.split("train").samples)):
        sample, stem = files.read(number), folder / f"{number:06d}"
        encoded += sum(len(sample[key]) for key in KEYS)
        image, labels = stem.with_suffix(".jpg"), stem.with_suffix(".png")
        image.write_bytes(sample["jpg"])
        labels.write_bytes(sample["parsing.png"])
        photos.append(Photo(image, labels, read_joints(sample)))
    return photos, encoded / len(photos)


def compare(shards: Path, photos: list[Photo], sigma_px: float) -> tuple[int, int]:
    """Bytes of a sample as published prepares it, and as ours crosses to a device.

    Raises:
        UnequalError: they are not the same pictures, maps, masks and transforms.
    """
    count = min(COMPARED, len(photos) - 1)
    samples = list(islice(read_split(shards, "train"), count + 1))
    pairs = Pairs(collate(samples[:-1]), collate(samples[1:]))
    run = config.Config(data=config.Data(image_size=Manifest.load(shards).size, heatmap_sigma_px=sigma_px))
    scene, published = build_scene(pairs, run, None, own_pose=False), PublishedPairs(photos, sigma_px)
    apart: dict[str, float] = {}
    for row in range(count):
        theirs = published[row]
        for role, seen in (("source", scene.source), ("target", scene.target)):
            for name, ours in _named(seen, scene.back if role == "source" else scene.there, row).items():
                found = (ours - theirs[f"{role}_{name}"].float()).abs().max()
                apart[name] = max(apart.get(name, 0.0), float(found))
        for name, warps in (("there", scene.there), ("back", scene.back)):
            found = (warps.transforms[row].flatten(1) - theirs[f"transforms_{name}"][:, :6]).abs().max()
            apart["transforms"] = max(apart.get("transforms", 0.0), float(found))
    bounds = {"image": PICTURE_APART, "half_image": 1.0, "transforms": TRANSFORM_APART}
    if worst := [f"{name} by {off:.1e}" for name, off in apart.items() if off > bounds.get(name, MAP_APART)]:
        raise UnequalError(f"ours and the published way prepare different samples: {', '.join(worst)}")
    crossed = sum(tensor.nbytes for tensor in crossing(pairs.source)) // count
    return sum(tensor.nbytes for tensor in published[0].values()), crossed


def _named(seen: View, warps: PartWarps, row: int) -> dict[str, torch.Tensor]:
    """One person of our scene under the published names; `warps` lead into this person's pose."""
    return {
        "image": seen.image[row],
        "labels": seen.labels[row].float(),
        "parsing": foreground(seen.parsing)[row],
        "heatmaps": seen.heatmaps[row],
        "masks": part_masks(warps.quads, warps.size)[row].float(),
    }


def measure(feeds: Mapping[Name, Feed], repeats: int, say: Callable[[str], object]) -> dict[Name, Found]:
    """Every way in turn, `repeats` times after one round that does not count."""
    rounds: dict[Name, list[Round]] = {name: [] for name in feeds}
    for counted in range(-1, repeats):
        for name, feed in feeds.items():
            found = feed()
            if counted >= 0:
                rounds[name].append(found)
        say(f"round {counted + 1} of {repeats}")
    return {name: _medians(found) for name, found in rounds.items()}


def _medians(rounds: list[Round]) -> Found:
    seconds = [each.seconds for each in rounds]
    cuts = quantiles(seconds, n=5) if len(seconds) > 1 else seconds * 4
    cpu, scene = (median(column) for column in zip(*((each.cpu_s, each.scene_cpu_s) for each in rounds), strict=True))
    return Found(median(seconds), cuts[0], cuts[3], cpu, scene)


def decoders() -> tuple[str, ...]:
    """Our ways, that which is not installed left out."""
    return (DALI, OPENCV) if dali.available() else (OPENCV,)
