"""`spt bench data`: every measurement as a tree for JSON, as tables for the terminal, and as a picture."""

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table
from spt_kernels import keep_memory

from spt_dist import bench_data, config
from spt_dist.bench_data import ALL, DALI, DECODERS, OPENCV, PUBLISHED, Feed, Found, OurFeed, PublishedFeed
from spt_dist.bench_data_feed import GPU, GPUS, Cost, Feeding, feed, hungers
from spt_dist.bench_data_published import PUBLISHED_BYTES, PUBLISHED_S, Photo
from spt_dist.data.manifest import Manifest

TARGET, GOAL, BYTES_TARGET = 20.0, 40.0, 0.01
COLOURS = ("#e45756", "#4c78a8", "#54a24b", "#f58518")
DPI = 110
SAMPLES, PUBLISHED_SAMPLES = 384, 16  # in a round
PUBLISHED_BATCH = 4  # the paper's on DeepFashion; a larger one would only cost published more memory


@dataclass(frozen=True)
class Job:
    """What to measure."""

    size: tuple[int, int]
    batch: int
    cores: int
    workers: tuple[int, ...]
    repeats: int
    data: Path | None
    shards: Path | None
    people: int
    configs: tuple[Path, ...]
    say: Callable[[str], object]


def run(job: Job) -> dict[str, Any]:
    """Measure everything; the tree that the JSON file holds.

    Raises:
        ValueError: there are too few cores, or the photos or a config cannot be used.
        UnequalError: the two ways prepare different samples.
    """
    keep_memory()
    before, runs = os.getloadavg()[0], [(path.stem, config.load(path)) for path in job.configs]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(bench_data.on_cores(job.cores))
        shards = bench_data.shards_of(folder, job.size, job.data, job.shards, job.people)
        sigma_px = config.Data().heatmap_sigma_px
        photos, moved = _moved(shards, folder / "files", sigma_px)
        named = _photos(job, Manifest.load(shards).splits["train"].samples)
        job.say(f"{named}; both ways prepare the same samples")
        feeds: dict[tuple[str, int], Feed] = {}
        for workers in job.workers:
            feeds[PUBLISHED, workers] = PublishedFeed(photos, sigma_px, PUBLISHED_BATCH, workers, PUBLISHED_SAMPLES)
            for way in bench_data.decoders():
                feeds[way, workers] = OurFeed(shards, job.batch, workers, DECODERS[way], SAMPLES)
        most = max(workers for workers in job.workers if workers <= max(job.cores, min(job.workers)))
        feeds[ALL, most] = OurFeed(shards, job.batch, most, DECODERS[ALL], SAMPLES, everything=True)
        found = bench_data.measure(feeds, job.repeats, job.say)
        at_most = {way: each for (way, workers), each in found.items() if workers == most}
        feedings = _feedings(job, runs, folder, at_most, moved)
    return {
        "size": job.size,
        "batch": job.batch,
        "published_batch": PUBLISHED_BATCH,
        "cores": job.cores,
        "workers": most,
        "repeats": job.repeats,
        "photos": named,
        "bytes": _bytes(moved),
        "rows": _rows(at_most),
        "curve": {
            way: {str(workers): 1 / found[way, workers].seconds for workers in job.workers}
            for way in (PUBLISHED, *bench_data.decoders())
        },
        "feeding": [_flat(each) for each in feedings],
        "gpu": {"name": GPU, "measured": False},
        "load": (before, os.getloadavg()[0]),
    }


def _moved(shards: Path, folder: Path, sigma_px: float) -> tuple[list[Photo], dict[str, float]]:
    """The photos for published in a new folder, and the bytes of a sample wherever it passes."""
    photos, encoded = bench_data.photos_of(shards, folder)
    prepared, crossing = bench_data.compare(shards, photos, sigma_px)
    from_dali = crossing_from_dali(photos, Manifest.load(shards).size)
    return photos, {"prepared": prepared, "crossing": crossing, "crossing from dali": from_dali, "encoded": encoded}


def crossing_from_dali(photos: list[Photo], size: tuple[int, int]) -> float:
    """Bytes of a sample that DALI gives a GPU: a JPEG to be decoded there, a byte of label a pixel, joints."""
    jpegs = sum(photo.image.stat().st_size for photo in photos)
    return jpegs / len(photos) + size[0] * size[1] + photos[0].joints.nbytes


def _flat(each: Feeding) -> dict[str, Any]:
    fields = each._asdict()
    return fields.pop("hunger")._asdict() | fields


def _photos(job: Job, count: int) -> str:
    return f"{count} {'drawn people' if job.data is None and job.shards is None else 'photos'}"


def _bytes(moved: dict[str, float]) -> dict[str, Any]:
    prepared = moved["prepared"]
    return moved | {
        "crossing / prepared": moved["crossing"] / prepared,
        "target": BYTES_TARGET,
        "published said": PUBLISHED_BYTES,
        "prepared / published said": prepared / PUBLISHED_BYTES,
    }


def _rows(found: dict[str, Found]) -> dict[str, dict[str, Any]]:
    theirs = found[PUBLISHED]
    return {
        way: {
            "samples_per_s": 1 / each.seconds,
            "ms": 1e3 * each.seconds,
            "quantiles_ms": (1e3 * each.p20, 1e3 * each.p80),
            "cpu_ms": 1e3 * each.cpu_s,
            "rasterising_cpu_ms": None if way == PUBLISHED else 1e3 * each.scene_cpu_s,
            "ratio": theirs.seconds / each.seconds,
            "cpu_ratio": theirs.cpu_s / each.cpu_s,
            "target": None if way in (PUBLISHED, ALL) else TARGET,
            "goal": None if way in (PUBLISHED, ALL) else GOAL,
        }
        for way, each in found.items()
    }


def _feedings(
    job: Job, runs: list[tuple[str, config.Config]], folder: Path, found: dict[str, Found], moved: dict[str, float]
) -> list[Feeding]:
    """Every config at every batch, fed by published and by ours; other sizes are measured for themselves."""
    feedings, costs = [], {job.size: _costs(found, moved)}
    for name, settings in runs:
        size = settings.data.image_size
        if size not in costs:
            costs[size] = _measured_at(job, folder, size)
        job.say(f"planning {name}")
        for hunger in hungers(name, settings):
            feedings += feed(hunger, costs[size])
    return feedings


def _costs(found: dict[str, Found], moved: dict[str, float]) -> dict[str, Cost]:
    crossing = {OPENCV: moved["crossing"], DALI: moved["crossing from dali"]}
    ours = {way: Cost(found[way].cpu_s - found[way].scene_cpu_s, crossing[way]) for way in found if way in crossing}
    return {PUBLISHED: Cost(found[PUBLISHED].cpu_s, moved["prepared"])} | ours


def _measured_at(job: Job, folder: Path, size: tuple[int, int]) -> dict[str, Cost]:
    """The same people at another size, one worker."""
    shards = bench_data.shards_of(folder, size, job.data, job.shards, job.people)
    sigma_px = config.Data().heatmap_sigma_px
    photos, moved = _moved(shards, folder / f"files-{size[0]}x{size[1]}", sigma_px)
    feeds: dict[str, Feed] = {PUBLISHED: PublishedFeed(photos, sigma_px, PUBLISHED_BATCH, 1, PUBLISHED_SAMPLES)}
    for way in bench_data.decoders():
        feeds[way] = OurFeed(shards, job.batch, 1, DECODERS[way], SAMPLES)
    found = bench_data.measure(feeds, job.repeats, job.say)
    return _costs(found, moved)


def to_tables(tree: dict[str, Any]) -> list[Table]:
    """For the terminal."""
    size, moved = "x".join(map(str, tree["size"])), tree["bytes"]
    rows = Table(title=f"a sample of {size}, {tree['photos']}, {tree['cores']} cores, {tree['workers']} workers")
    heads = ("way", "samples/s", "ms", "20 % to 80 %", "CPU-ms", "of it rasterising", "ratio", "by CPU", "target")
    for head in heads:
        rows.add_column(head, justify="left" if head == "way" else "right")
    for way, row in tree["rows"].items():
        low, high = row["quantiles_ms"]
        rows.add_row(
            way,
            f"{row['samples_per_s']:.1f}",
            f"{row['ms']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['cpu_ms']:.2f}",
            "" if row["rasterising_cpu_ms"] is None else f"{row['rasterising_cpu_ms']:.2f}",
            f"{row['ratio']:.1f}x",
            f"{row['cpu_ratio']:.1f}x",
            "" if row["target"] is None else f"{row['target']:g}x, goal {row['goal']:g}x",
        )
    rows.caption = (
        f"bytes a sample: published prepares {moved['prepared'] / 1e6:.2f} MB ({PUBLISHED_BYTES / 1e6:g} MB and "
        f"{PUBLISHED_S:g} s were published's own); ours crosses with {moved['crossing'] / 1e6:.3f} MB, "
        f"{moved['crossing / prepared']:.2%} of it (at most {moved['target']:.0%}), with "
        f"{moved['crossing from dali'] / 1e6:.3f} MB where DALI decodes on a GPU (counted, not run), and reads "
        f"{moved['encoded'] / 1e3:.1f} kB from the disk; load {tree['load'][0]:.1f} to {tree['load'][1]:.1f}"
    )
    return [rows, _curve_table(tree), *([_feeding_table(tree)] if tree["feeding"] else [])]


def _curve_table(tree: dict[str, Any]) -> Table:
    table = Table(title=f"samples/s over workers, on {tree['cores']} cores: more workers than cores cannot gain")
    table.add_column("way")
    counts = [*next(iter(tree["curve"].values()))]
    for count in counts:
        table.add_column(count, justify="right")
    for way, points in tree["curve"].items():
        table.add_row(way, *(f"{points[count]:.1f}" for count in counts))
    return table


def _feeding_table(tree: dict[str, Any]) -> Table:
    title = f"feeding one {tree['gpu']['name']}: its pace is planned, unmeasured on a GPU; fewer cores starve it"
    table = Table(title=title)
    words, numbers = ("config", "hungriest stage", "way"), ("cores", f"cores for {GPUS}", "MB/s", "of PCIe 5")
    for head in ("config", "batch", "hungriest stage", "samples/s", "way", *numbers):
        table.add_column(head, justify="right" if head not in words else "left")
    for row in tree["feeding"]:
        table.add_row(
            row["config"],
            str(row["batch"]),
            row["stage"],
            f"{row['samples_per_s']:.1f}",
            row["way"],
            f"{row['cores']:.2f}",
            f"{row['cores_of_eight']:.1f}",
            f"{row['bytes_per_s'] / 1e6:.1f}",
            f"{row['link_share']:.2%}",
        )
    return table


def draw(tree: dict[str, Any]) -> bytes:
    """Samples a second over workers, and cores that one GPU needs over its batch, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9.6, 4.6), dpi=DPI, layout="constrained")
    pace, cores = figure.subplots(1, 2)
    colours = dict(zip(tree["curve"], COLOURS, strict=False))
    for way, points in tree["curve"].items():
        pace.plot([int(count) for count in points], [*points.values()], "o-", color=colours[way], lw=1.6, label=way)
    pace.axvline(tree["cores"], color="#9aa0aa", lw=1, ls="--", label=f"{tree['cores']} cores")
    for way in tree["curve"]:
        for name, line in zip(sorted({row["config"] for row in tree["feeding"]}), ("-", "--", ":"), strict=False):
            rows = [row for row in tree["feeding"] if (row["way"], row["config"]) == (way, name)]
            xs, ys = [row["batch"] for row in rows], [row["cores"] for row in rows]
            cores.plot(xs, ys, f"o{line}", color=colours[way], lw=1.6, ms=4, label=f"{way}, {name}")
    cores.set_xscale("log", base=2)
    counts, batches = next(iter(tree["curve"].values())), sorted({row["batch"] for row in tree["feeding"]})
    for axes, x, y, ticks in (
        (pace, "workers", "samples a second", [int(count) for count in counts]),
        (cores, "batch of one GPU", "cores that feed it", batches),
    ):
        axes.set_yscale("log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if axes.lines:
            axes.legend(
                fontsize=7, frameon=False, ncols=2, handlelength=3, loc="upper center", bbox_to_anchor=(0.5, -0.14)
            )
    size = "x".join(map(str, tree["size"]))
    pace.set_title(f"preparing a sample of {size}, {tree['photos']}", fontsize=10)
    cores.set_title(f"below the line one {tree['gpu']['name']} starves (its pace: planned)", fontsize=10)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def summary(tree: dict[str, Any]) -> str:
    """Whether the aims are met, in a line, with the distance where one is not."""
    ours = {way: row["ratio"] for way, row in tree["rows"].items() if row["target"] is not None}
    best = max(ours, key=ours.__getitem__)
    aims = [(f"{ours[best]:.1f}x samples/s ({best})", ours[best] / TARGET, f"{TARGET:g}x")]
    share = tree["bytes"]["crossing / prepared"]
    aims.append((f"{share:.2%} of the bytes", BYTES_TARGET / share, f"{BYTES_TARGET:.0%}"))
    return "; ".join(
        f"{what}: {'met' if of >= 1 else f'missed, {of:.2f} of the way to'} {aim}" for what, of, aim in aims
    )
