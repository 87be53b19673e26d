"""The plan against a real step on this processor: bytes and seconds, side by side.

Memory is the largest sum of what torch's allocator has handed out and not got back, from the profiler's record of every
allocation; seconds are the least of some steps, of one thread's own processor time, so that other programs do not
count. The plan has neither from the step: its bytes are counted on fake tensors and its rates measured elsewhere
(`calibrate`).
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate as running

from torch.profiler import ProfilerActivity, profile

from spt_dist import config
from spt_dist.bench_steps import drawn_pairs
from spt_dist.models.features import PerceptualFeatures
from spt_dist.plan.calibrate import Cpu
from spt_dist.plan.cost import Work
from spt_dist.plan.count import BATCHES, SameMap, StepCounter, Variant, first_update, variants, without_files
from spt_dist.plan.memory import memory, need, worst
from spt_dist.plan.network import Cluster
from spt_dist.train.ema import Ema
from spt_dist.train.engine import PlainEngine
from spt_dist.train.phases import WANTS_PSEUDO_PAIRS, Turn, phases_of, train_phase
from spt_dist.train.scene import build_scene
from spt_dist.train.state import AVERAGED, build_networks

WITHIN = 0.15  # the aim: how far planned and measured may lie apart
REPEATS = 3


@dataclass(frozen=True)
class Compared:
    """One number, planned and measured."""

    what: str
    unit: str
    planned: float
    measured: float

    @property
    def apart(self) -> float:
        """How far the plan is from what was measured, relative and signed."""
        return self.planned / self.measured - 1

    @property
    def met(self) -> bool:
        """Whether that is within the aim."""
        return abs(self.apart) <= WITHIN


class RealStep:
    """One process of plain torch, as `--launcher local` trains, on drawn people."""

    def __init__(self, settings: config.Config, batch: int) -> None:
        self.settings, self.pairs = without_files(settings), drawn_pairs(settings.data.image_size, batch)
        networks = build_networks(self.settings.networks, 0)
        self.averages = {name: Ema(networks[name], 1.0) for name in sorted(AVERAGED)}
        self.engines = {name: PlainEngine(network, self.settings.train) for name, network in networks.items()}
        for engine in self.engines.values():
            first_update(engine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.features = PerceptualFeatures(self.settings.networks.features)

    def kept_bytes(self) -> int:
        """Parameters, averages and frozen features: what was there before the first step."""
        modules = [engine.module for engine in self.engines.values()]
        modules += [average.module for average in self.averages.values()] + [self.features]
        return sum(t.nbytes for module in modules for t in (*module.parameters(), *module.buffers()))

    def moments_bytes(self) -> int:
        """Adam's, of the networks that have taken a step."""
        states = [state for engine in self.engines.values() for state in engine.optimizer.state.values()]
        return sum(each.nbytes for state in states for each in state.values())

    def __call__(self, stage: str, variant: Variant) -> None:
        """A step, with the averages' update."""
        _, own_pose, alpha = variant
        pseudo = SameMap() if stage in WANTS_PSEUDO_PAIRS and not self.settings.data.true_targets else None
        scene = build_scene(self.pairs, self.settings, pseudo, own_pose)
        turn = Turn(scene, self.settings, self.features, alpha)
        phases = phases_of(stage, self.settings.losses)
        frozen = {name: self.averages[name].module for name in AVERAGED - {phase.network for phase in phases}}
        for phase in phases:
            train_phase(phase, self.engines, [turn], 1e-4, frozen)
            if phase.network in self.averages:
                self.averages[phase.network].update(self.engines[phase.network].module, len(self.pairs.source.ids))


def compare(settings: config.Config, batch: int, stages: Sequence[str], cpu: Cpu) -> list[Compared]:
    """Planned and measured memory and seconds of each stage's last variant, at a batch."""
    counter, real, found = StepCounter(settings, as_gpu=False), RealStep(settings, batch), []
    sizes = counter.sizes()
    for stage in stages:
        variant = (1.0, *variants(settings, stage)[-1][1:])
        small, large = (counter.step(stage, variant, each) for each in BATCHES)
        parts = list(zip(small.parts, large.parts, strict=True))
        planned = worst(memory(None, sizes, need(*pair, batch), 1) for pair in parts if pair[0].network)
        work = Work(((small, large),), sizes, settings.data.image_size)
        one = Cluster(1, 1, cpu.inside, cpu.between)
        seconds = work.seconds(cpu, one, None, batch, 1).compute
        real(stage, variant)
        peak = real.kept_bytes() + real.moments_bytes() + allocated(partial(real, stage, variant))
        found.append(Compared(f"{stage}: peak of memory", "MB", planned.total / 1e6, peak / 1e6))
        found.append(Compared(f"{stage}: processor time", "s", seconds, _least(partial(real, stage, variant))))
    return found


def allocated(call: Callable[[], object]) -> int:
    """The most bytes that torch's allocator had handed out during a call, over what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [each for each in profiled.profiler.kineto_results.events() if each.name() == "[memory]"]
    events.sort(key=lambda each: each.start_ns())
    return max(running(each.nbytes() for each in events), default=0)  # pyright: ignore[reportAttributeAccessIssue]


def _least(call: Callable[[], object]) -> float:
    """The least processor seconds of some calls."""
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        call()
        found.append(time.thread_time() - start)
    return min(found)
