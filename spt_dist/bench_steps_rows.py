"""Steps and inference as rows: timed in turn, with memory's peak and the distance to the arithmetic floor.

Each way runs with its own allocator: ours with freed memory kept, as `spt train` sets it for its workers, published
with glibc's thresholds; published is timed a second time with memory kept. The floor is the flops of ours, counted as
direct convolutions, over what this machine reaches in a matrix product: `tile_conv` takes fewer. Memory's peak is a
process's largest resident set, the interpreter and torch included, in a process of its own for each way.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from math import prod
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.table import Table
from spt_kernels import keep_memory
from spt_kernels.bench.rows import Row, commit
from spt_kernels.bench.tables import ceilings
from spt_kernels.bench.timing import Times, interleaved

from spt_dist import config
from spt_dist.bench_steps import (
    OurInference,
    OurStep,
    PublishedInference,
    Steps,
    check_pictures,
    generator_of,
    networks_of,
)
from spt_dist.data.schema import Pairs
from spt_dist.train.state import build_networks

STEP_TARGET, DIRECTION_TARGET = 1.6, 2.5  # published / ours, on 2 processors at 256x256
# The paper's networks at 256x256.
PAPER = config.Config(networks=config.Networks(appearance=config.Appearance(local_enhancer=True)))
HEAD = ("pass", "ours s", "published s", "ratio", "target", "memory kept s", "ratio", "floor s", "ours / floor",
        "peak GB", "published GB")  # fmt: skip
KEPT = ", memory kept"
Call = Callable[[], object]
Said = Callable[[str], object]


@dataclass
class Job:
    """What is timed, and how: pairs of people, how often, on how many threads; `say` takes a line of progress."""

    settings: config.Config
    pairs: Pairs
    repeats: int = 10
    threads: int = 2
    memory: bool = True
    say: Said = print

    @property
    def shape(self) -> str:
        """Batch, picture and generator."""
        (batch, height, width), appearance = self.pairs.source.labels.shape, self.settings.networks.appearance
        generator = "local enhancer" if appearance.local_enhancer else "global network"
        return f"B{batch} {height}x{width}, widths {'-'.join(map(str, appearance.widths))}, {generator}"


@dataclass
class StepRow(Row):
    """A `Row` with the machine's load, the floor in seconds, and the largest resident sets by way."""

    load: tuple[float, float] = (0.0, 0.0)  # runnable processes before and after, over a minute
    floor: float = 0.0
    peak_rss_bytes: dict[str, int] | None = None
    published_kept: float | None = None  # the published way with our allocator
    apart: dict[str, float] | None = None  # what the check found

    def as_dict(self) -> dict:
        """As `Row.as_dict`."""
        fields = asdict(self)
        return {"name": fields.pop("name"), "pass": fields.pop("passes"), **fields}


def step_rows(job: Job) -> list[StepRow]:
    """The step with the target's map given to both ways; then ours with H_S, against published without.

    Raises:
        UnequalError: the two ways compute different things.
    """
    _prepare(job)
    steps = Steps.of(job.settings, job.pairs)
    term, gradient = steps.check()
    job.say(f"equal: losses within {term:.1e}, gradients within {gradient:.1e}")
    flops, published_flops = (_flops(step) for step in steps)
    job.say(f"GFLOP a step: ours {flops / 1e9:.0f}, published {published_flops / 1e9:.0f}")
    entire = OurStep(job.settings, job.pairs, _networks_of(steps.ours, job.settings), given=False)
    calls = {"ours": steps.ours, "published": steps.published, f"published{KEPT}": steps.published}
    calls["ours with H_S"] = entire
    load, times = _timed(job, calls)
    peaks = {way: _peak_alone(job, way) for way in ("ours", "published")} if job.memory else {}
    parameters = sum(p.numel() for engine in steps.ours.engines.values() for p in engine.module.parameters())
    make = partial(
        _row, job, "train_step", load, ceilings("cpu").flops, peaks=peaks, moved=24 * parameters
    )  # weight and moments, in and out
    target = STEP_TARGET if job.settings == PAPER else None
    apart = {"losses": term, "gradients": gradient}
    return [
        make("maps given", times, "ours", "published", flops, target, apart),
        make("ours with H_S", times, "ours with H_S", "published", _flops(entire), None, apart),
    ]


def infer_rows(job: Job) -> list[StepRow]:
    """One direction from bytes and joints, against one direction and against the test path of the published way.

    Raises:
        UnequalError: the two ways draw different pictures.
    """
    _prepare(job)
    generator = generator_of(job.settings)
    ours = OurInference(job.settings, job.pairs, generator)
    theirs = PublishedInference(job.settings, job.pairs, generator)
    apart = {"picture": check_pictures(ours(), theirs.one_direction())}
    job.say(f"equal: pictures within {apart['picture']:.1e} on average")
    ways = {"one direction": theirs.one_direction, "test path": theirs.test_path}
    calls = {"ours": ours} | ways | {f"{name}{KEPT}": way for name, way in ways.items()}
    load, times = _timed(job, calls)
    peaks = {way: _peak_alone(job, way, infer=True) for way in ("ours", "published")} if job.memory else {}
    moved = 4 * sum(p.numel() for p in generator.parameters())
    make = partial(_row, job, "infer", load, ceilings("cpu").flops, peaks=peaks, moved=moved)
    target, flops = DIRECTION_TARGET if job.settings == PAPER else None, _flops(ours)
    return [
        make("one direction against one direction", times, "ours", "one direction", flops, target, apart),
        make("one direction against the test path", times, "ours", "test path", flops, None, apart),
    ]


def to_table(rows: list[StepRow]) -> Table:
    """For the terminal."""
    first = rows[0]
    load = f"load {first.load[0]:.1f} to {first.load[1]:.1f}"
    table = Table(title=f"{first.name}, {first.shape}; {first.device}, {first.dtype}; {load}")
    for column in HEAD:
        table.add_column(column, justify="left" if column == "pass" else "right")
    for row in rows:
        peaks = row.peak_rss_bytes or {}
        table.add_row(
            row.passes,
            f"{row.ours:.3g}",
            f"{row.published:.3g}",
            f"{row.ratio:.2f}x",
            "" if row.target is None else f"{row.target:g}x",
            "" if row.published_kept is None else f"{row.published_kept:.3g}",
            "" if row.published_kept is None else f"{row.published_kept / row.ours:.2f}x",
            f"{row.floor:.3g}",
            f"{row.ours / row.floor:.1f}x",
            *(f"{peaks[way] / 1e9:.2f}" if way in peaks else "" for way in ("ours", "published")),
        )
    return table


def _prepare(job: Job) -> None:
    keep_memory()
    torch.set_num_threads(job.threads)


def _networks_of(step: OurStep, settings: config.Config) -> dict:
    """The networks of a step, with H_S in its place."""
    networks = {name: engine.module for name, engine in step.engines.items()}
    return networks | {"semantic": build_networks(settings.networks, settings.train.seed)["semantic"]}


def _timed(job: Job, calls: Mapping[str, Call]) -> tuple[tuple[float, float], dict[str, Times]]:
    """Each call's times in turn, one round uncounted, and the load before and after."""
    before = os.getloadavg()[0]
    timed = {name: partial(_seconds, name, call, job.say) for name, call in calls.items()}
    times = interleaved(timed, job.repeats, lambda: None)
    return (before, os.getloadavg()[0]), times


def _seconds(name: str, call: Call, say: Said) -> float:
    keep_memory(name.startswith("ours") or name.endswith(KEPT))
    start = time.perf_counter()
    call()
    took = time.perf_counter() - start
    say(f"{name}: {took:.3f} s")
    return took


def _flops(call: Call) -> int:
    """Of a call; tiled convolutions counted as direct ones."""
    from torch.utils.flop_counter import FlopCounterMode  # 70 MB that belong to no way's peak

    ops = torch.ops.spt_kernels
    direct = {
        ops.tile_conv: lambda x, weight, *_, out_shape, **__: 2 * prod(weight[1:]) * prod(out_shape),
        ops.packed_conv: lambda maps, packed, bias, outputs, kernel, *_, out_shape, **__: (
            2 * kernel**2 * _channels(maps) * prod(out_shape)
        ),
        ops.packed_conv_transposed: lambda maps, *_, out_shape, **__: 2 * 4 * _channels(maps) * prod(out_shape),
        ops.tile_conv_backward_data: lambda grad, weight, *_, **__: 2 * prod(weight[1:]) * prod(grad),
        ops.tile_conv_backward_weight: lambda grad, *_, out_shape, **__: 2 * prod(out_shape[1:]) * prod(grad),
    }
    with FlopCounterMode(display=False, custom_mapping=direct) as counter:
        call()
    return counter.get_total_flops()


def _channels(maps: list[torch.Size]) -> int:
    return sum(shape[1] for shape in maps)


def _peak_alone(job: Job, way: str, infer: bool = False) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, job.settings, job.pairs, way, infer, job.threads).result()


def _peak(settings: config.Config, pairs: Pairs, way: str, infer: bool, threads: int) -> int:
    """Run one way twice; the largest resident set of this process."""
    if way == "ours":
        keep_memory()
    torch.set_num_threads(threads)
    call = _alone(settings, pairs, way, infer)
    for _ in range(2):
        call()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _alone(settings: config.Config, pairs: Pairs, way: str, infer: bool) -> Call:
    from spt_dist.bench_steps import PublishedStep

    if infer:
        generator = generator_of(settings)
        if way == "ours":
            return OurInference(settings, pairs, generator)
        return PublishedInference(settings, pairs, generator).test_path
    networks = networks_of(settings)
    return (OurStep if way == "ours" else PublishedStep)(settings, pairs, networks)


def _row(
    job: Job,
    name: str,
    load: tuple[float, float],
    limit: float,
    passes: str,
    times: dict[str, Times],
    way: str,
    against: str,
    flops: int,
    target: float | None,
    apart: dict[str, float],
    peaks: dict[str, int],
    moved: int,
) -> StepRow:
    ours, theirs = times[way], times[against]
    return StepRow(
        name=name,
        passes=passes,
        shape=job.shape,
        device=f"cpu, {torch.get_num_threads()} threads",
        dtype="float32",
        ours=ours.median,
        published=theirs.median,
        eager=None,
        ratio=theirs.median / ours.median,
        target=target,
        bytes=moved,
        flops=flops,
        peak_extra_bytes=peaks.get("ours", 0),
        quantiles={"ours": (ours.p20, ours.p80), "published": (theirs.p20, theirs.p80)},
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": version("numpy")},
        commit=commit(),
        unit="s",
        load=load,
        floor=flops / limit,
        peak_rss_bytes=peaks or None,
        published_kept=times[f"{against}{KEPT}"].median,
        apart=apart,
    )
