"""What sharing a step costs, what a second rank brings, and what a save costs: on two ranks of this processor.

Two processes, a core each, hold one trainer per way of sharing, with readers, averages and logs as in a run. They take
the same steps in turn, round by round, so that whatever else the machine does falls on all of them; numbers are
medians. The yardstick is torch's own DistributedDataParallel. `alone` is one rank on the whole batch; `apart` is two
that share nothing, each on half a batch: what the processor's second core can bring at most.
"""

import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from spt_kernels import keep_memory
from spt_kernels.bench.timing import Times, interleaved
from torch import multiprocessing, nn
from torch.multiprocessing.spawn import ProcessException

from spt_dist import config
from spt_dist.data.importers import read_folder
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import micro_batch
from spt_dist.data.synthetic import draw_folder
from spt_dist.train.engine import DeepSpeedEngine, Engine, PlainEngine, init_deepspeed
from spt_dist.train.loop import Trainer
from spt_dist.train.precision import in_precision
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks

RANKS, STAGE = 2, "appearance"
PEOPLE = 64
DDP, ALONE, APART, SAVED = "DistributedDataParallel", "alone", "apart", "ZeRO 1"
WAYS = {"ZeRO 0": 0, SAVED: 1, "ZeRO 2": 2, "ZeRO 3": 3}
AT_MOST_OVER_DDP = {SAVED: 0.05, "ZeRO 2": 0.05}
AT_MOST_FOR_SAVES = 0.02  # of the time of the steps between two saves
STEPS_WITH_A_SAVE = 20
LOSSES_APART = 1e-4  # relative: in the first step, which every way takes from the same weights


class UnequalError(Exception):
    """The ways compute different things, so they are not timed."""


@dataclass(frozen=True)
class Found:
    """Seconds of a step by way, of waiting for the reader within it, and of saves."""

    steps: dict[str, Times]
    reading: dict[str, float]
    save_blocks_s: float
    save_costs_s: float  # all in all: steps with a save in front, less the same without
    batch: int
    steps_between_saves: int

    def over_ddp(self, way: str) -> float:
        """How much longer a way's step takes than DistributedDataParallel's, relative."""
        return self.steps[way].median / self.steps[DDP].median - 1

    @property
    def efficiency(self) -> float:
        """Speed of two ranks over twice the speed of one, on the same batch."""
        return self._speed_up(SAVED) / RANKS

    @property
    def attainable(self) -> float:
        """The same for two ranks that share nothing."""
        return self._speed_up(APART) / RANKS

    @property
    def saving(self) -> float:
        """Seconds that a save costs, over the seconds of the steps between two saves."""
        return self.save_costs_s / (self.steps_between_saves * self.steps[SAVED].median)

    def _speed_up(self, way: str) -> float:
        return self.steps[ALONE].median / self.steps[way].median


class DdpEngine(PlainEngine):
    """Adam behind torch's own averaging of gradients: the yardstick."""

    def __init__(self, module: nn.Module, train: config.Train) -> None:
        super().__init__(module, train)
        self.forward = nn.parallel.DistributedDataParallel(
            in_precision(module, train.precision), broadcast_buffers=False, gradient_as_bucket_view=True
        )


class TimedReader:
    """A reader, and the seconds that each of its batches was waited for."""

    def __init__(self, reader: Iterator[Any]) -> None:
        self.reader, self.seconds = reader, list[float]()

    def __next__(self) -> Any:
        start = time.perf_counter()
        found = next(self.reader)
        self.seconds.append(time.perf_counter() - start)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The reader's own."""
        return self.reader.state_dict()  # pyright: ignore[reportAttributeAccessIssue]


def to_table(found: Found) -> Table:
    """What was found, beside what is aimed at."""
    table = Table(title=f"a step of the {STAGE} stage, {found.batch} pictures, {RANKS} ranks of one core each")
    for column in ("way", "ms", "20 % to 80 %", f"over {DDP}", "at most", "waits for data, ms"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, times in found.steps.items():
        aim = AT_MOST_OVER_DDP.get(way)
        table.add_row(
            way,
            f"{1e3 * times.median:.0f}",
            f"{1e3 * times.p20:.0f} to {1e3 * times.p80:.0f}",
            f"{found.over_ddp(way):+.1%}" if way in WAYS else "",
            "" if aim is None else f"{aim:+.0%}",
            f"{1e3 * found.reading[way]:.1f}",
        )
    table.caption = (
        f"from 1 rank to {RANKS}: efficiency {found.efficiency:.2f}; ranks that share nothing: {found.attainable:.2f}\n"
        f"a save blocks for {1e3 * found.save_blocks_s:.0f} ms and costs {1e3 * found.save_costs_s:.0f} ms in all: "
        f"{found.saving:.2%} of the {found.steps_between_saves} steps between two (at most {AT_MOST_FOR_SAVES:.0%})"
    )
    return table


def measure(settings: config.Config, repeats: int, saves: int) -> Found:
    """Time every way in `repeats` rounds, and `saves` pairs of steps with and without a save, on drawn people.

    Raises:
        ValueError: the configuration cannot be trained on two ranks.
        RuntimeError: a rank failed, or a way's losses are not the yardstick's.
    """
    with TemporaryDirectory() as folder:
        here = Path(folder)
        draw_folder(here / "people", PEOPLE, settings.data.image_size, 0)
        pack(read_folder(here / "people", "train"), here / "shards", settings.data.image_size, "whole")
        settings = _as_a_run(settings, here / "shards")
        with warnings.catch_warnings(action="ignore"):  # random features take as long
            prepare_run(settings, here / "run", resume=False, ranks=RANKS, engine=DeepSpeedEngine.__name__)
        try:
            multiprocessing.spawn(_rank, (_free_port(), settings, here, repeats, saves), nprocs=RANKS)
        except ProcessException as error:
            raise RuntimeError(f"a rank failed: {str(error).strip().splitlines()[-1]}") from error
        return torch.load(here / "found.pt", weights_only=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _as_a_run(settings: config.Config, shards: Path) -> config.Config:
    """The settings, fit to take steps of one stage over and over."""
    stage = replace(getattr(settings.stages, STAGE), images=10**9, warm_up=0.0)
    return replace(
        settings,
        data=replace(settings.data, shards=str(shards), pseudo_pairs="", true_targets=False),
        stages=replace(settings.stages, **{STAGE: stage}),
        train=replace(settings.train, workers=RANKS, evaluate_every_imgs=0, keep_best=0, mirror="", start_from={}),
    )


def _rank(rank: int, port: int, settings: config.Config, folder: Path, repeats: int, saves: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(RANKS), "DS_ACCELERATOR": "cpu"}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    keep_memory()
    dist.init_process_group("gloo")
    init_deepspeed(torch.device("cpu"))
    together = Ranks(rank, RANKS)
    trainers = {DDP: _trainer(settings, folder / DDP, partial(DdpEngine, train=settings.train), together)}
    share = micro_batch(settings.data, RANKS, settings.train.accumulate)
    for way, stage in WAYS.items():
        train = replace(settings.train, zero_stage=stage)
        make_engine = partial(DeepSpeedEngine, train=train, micro_batch=share)
        trainers[way] = _trainer(replace(settings, train=train), folder / way, make_engine, together)
    if together.leads:
        trainers[ALONE] = _trainer(settings, folder / ALONE, partial(PlainEngine, train=settings.train), Ranks())
    _take_equal_steps(trainers, together)
    half = replace(settings, data=replace(settings.data, batch=share * settings.train.accumulate))
    trainers[APART] = _trainer(half, folder / f"{APART} {rank}", partial(PlainEngine, train=settings.train), Ranks())
    trainers[APART].step(STAGE)
    found = _timed(trainers, settings, repeats, saves)
    if together.leads:
        torch.save(found, folder / "found.pt")
    dist.barrier()
    dist.destroy_process_group()


def _trainer(settings: config.Config, run: Path, make_engine: Callable[[nn.Module], Engine], ranks: Ranks) -> Trainer:
    run.mkdir(exist_ok=True)
    trainer = Trainer(settings, run, make_engine, ranks)
    trainer.state.position.enter(STAGE)
    trainer.reader = TimedReader(trainer.reader)  # type: ignore[assignment]
    return trainer


def _take_equal_steps(trainers: dict[str, Trainer], together: Ranks) -> None:
    """Every way's first step; `UnequalError` when one's losses are not the yardstick's."""
    losses = {}
    for way, trainer in trainers.items():
        trainer.step(STAGE)
        terms = {name: torch.stack(each).mean() for name, each in trainer.log.terms.items()}
        losses[way] = {name: trainer.ranks.mean(term).item() for name, term in sorted(terms.items())}
    for way, found in losses.items():
        for name, value in losses[DDP].items():
            if abs(found[name] - value) > LOSSES_APART * abs(value):
                raise UnequalError(f"{way}: `{name}` is {found[name]:.6g}, by {DDP} {value:.6g}")
    together.barrier()


def _timed(trainers: dict[str, Trainer], settings: config.Config, repeats: int, saves: int) -> Found:
    steps = {way: partial(_seconds, partial(_step, trainers.get(way))) for way in (DDP, *WAYS, ALONE, APART)}
    for trainer in trainers.values():
        trainer.reader.seconds.clear()  # pyright: ignore[reportAttributeAccessIssue]
    shown = Progress(console=Console(stderr=True), disable=ALONE not in trainers)  # the leader's
    tasks = {name: shown.add_task(name, total=rounds + 1) for name, rounds in (("steps", repeats), ("saves", saves))}
    shown.start()
    timed = interleaved(steps, repeats, lambda: shown.advance(tasks["steps"]))
    reading = {way: median(trainer.reader.seconds[1:]) for way, trainer in trainers.items()}  # type: ignore[attr-defined]
    blocks: list[float] = []
    saving = trainers[SAVED]
    windows = {
        name: partial(_seconds, partial(_window, saving, each)) for name, each in (("saved", blocks), ("not", None))
    }
    window = interleaved(windows, saves, lambda: shown.advance(tasks["saves"]))
    shown.stop()
    return Found(
        steps=timed,
        reading=reading,
        save_blocks_s=median(blocks[1:]),
        save_costs_s=window["saved"].median - window["not"].median,
        batch=settings.data.batch,
        steps_between_saves=max(1, settings.train.checkpoint_every_imgs // settings.data.batch),
    )


def _seconds(call: Callable[[], None]) -> float:
    """Until all ranks have done it."""
    dist.barrier()
    start = time.perf_counter()
    call()
    dist.barrier()
    return time.perf_counter() - start


def _step(trainer: Trainer | None) -> None:
    """A step, where this rank takes part in it."""
    if trainer is not None:
        trainer.step(STAGE)
        trainer.log.terms.clear()


def _window(trainer: Trainer, blocks: list[float] | None) -> None:
    """Steps, with a save in front of them that tells how long it blocked, or without; it is over when they are."""
    if blocks is not None:
        start = time.perf_counter()
        trainer.save()
        blocks.append(time.perf_counter() - start)
    for _ in range(STEPS_WITH_A_SAVE):
        _step(trainer)
    trainer.saver.settle()
