"""Counts a training step: the real phases on fake tensors of the configuration's shapes.

The networks, losses, engines and optimizers are those that train; only the numbers are missing. Scenes are built from
drawn people for real, so that masks and transforms are a person's. Work and memory are straight lines in the batch, so
two small batches say what any batch costs.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from spt_kernels.paths import as_on_gpu
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves, tree_map_only

from spt_dist import config
from spt_dist.bench_steps import drawn_pairs
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.schema import Batch
from spt_dist.models.features import PerceptualFeatures
from spt_dist.plan.trace import Op, Peak, Trace
from spt_dist.train.ema import Ema
from spt_dist.train.engine import PlainEngine
from spt_dist.train.phases import STAGES, WANTS_PSEUDO_PAIRS, Turn, phases_of, train_phase
from spt_dist.train.scene import Scene, build_scene
from spt_dist.train.state import AVERAGED, build_networks
from spt_dist.types import Joints, LabelBytes

BATCHES = (2, 3)  # a batch of one takes shortcuts (a view for a copy), so lines begin at two
SCENE = "scene"  # the part of a step in front of its phases
Variant = tuple[float, bool, float]  # share of a stage, own pose, alpha


@dataclass(frozen=True)
class Part:
    """One phase of a step, or the scene in front of them, for one micro-batch of `batch` samples."""

    name: str
    network: str  # which is trained; empty for the scene
    batch: int
    ops: tuple[Op, ...]
    update: tuple[Op, ...]  # the optimizer's and the averages', once a step
    saved_bytes: int  # activations that autograd keeps for the backward
    peak: Peak


@dataclass(frozen=True)
class Count:
    """All parts of a step in one variant of a stage."""

    stage: str
    share: float  # of the stage's images that are trained in this variant
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Sizes:
    """What does not depend on the batch: numbers of every network, and bytes of the frozen features."""

    parameters: dict[str, int]
    tensors: dict[str, int]  # how many each network has
    averaged: dict[str, int]
    features_bytes: int


class MarkedEngine(PlainEngine):
    """Notes how many operations came before the optimizer's."""

    trace: Trace | None = None
    before_update = 0

    def step(self, learning_rate: float) -> None:
        """See `Engine`."""
        if self.trace is not None:
            self.before_update = len(self.trace.ops)
        super().step(learning_rate)


class SameMap(PseudoPairs):
    """Stands in for the search: the source's own map, at the cost of nothing."""

    def __init__(self) -> None:
        pass

    def match(self, source: Batch, target_joints: Joints) -> tuple[LabelBytes, Joints]:
        """Every source's labels, and the wanted joints."""
        return source.labels, target_joints


class StepCounter:
    """Counts steps of one configuration; `as_gpu` takes the paths that a GPU would."""

    def __init__(self, settings: config.Config, as_gpu: bool) -> None:
        self.settings, self.as_gpu = without_files(settings), as_gpu
        build_scene(drawn_pairs(settings.data.image_size), self.settings, None, False)  # geometry keeps its tables
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        with self.fake, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # random features are as large
            networks = build_networks(self.settings.networks, 0)
            self.features = PerceptualFeatures(self.settings.networks.features)
            self.averages = {name: Ema(networks[name], 1.0) for name in sorted(AVERAGED)}
            self.engines = {name: MarkedEngine(network, self.settings.train) for name, network in networks.items()}
            for engine in self.engines.values():
                first_update(engine)

    def sizes(self) -> Sizes:
        """Numbers and bytes that are there whatever the batch."""
        numbers = {name: [p.numel() for p in engine.module.parameters()] for name, engine in self.engines.items()}
        return Sizes(
            parameters={name: sum(each) for name, each in numbers.items()},
            tensors={name: len(each) for name, each in numbers.items()},
            averaged={name: sum(p.numel() for p in a.module.parameters()) for name, a in self.averages.items()},
            features_bytes=sum(buffer.nbytes for buffer in self.features.buffers()),
        )

    def step(self, stage: str, variant: Variant, batch: int) -> Count:
        """Every part of one step on one micro-batch."""
        share, own_pose, alpha = variant
        trace = Trace()
        for name, tensors in self._kept().items():
            trace.label(tensors, name)
        scene, parts = self._scene(stage, own_pose, batch)
        trace.label(_tensors(scene), SCENE)
        turn = Turn(scene, self.settings, self.features, alpha)
        phases = phases_of(stage, self.settings.losses)
        frozen = {name: self.averages[name].module for name in AVERAGED - {phase.network for phase in phases}}
        paths = as_on_gpu() if self.as_gpu else nullcontext()
        with paths, _gradients_labelled(self.engines, trace):
            for phase in phases:
                engine = self.engines[phase.network]
                engine.trace = trace
                trace.start()
                with self.fake, trace, saved_tensors_hooks(trace.save, lambda kept: kept):
                    train_phase(phase, self.engines, [turn], 1e-4, frozen)
                    if phase.network in self.averages:
                        self.averages[phase.network].update(engine.module, batch)
                name = f"{phase.network}/{phase.terms.__name__.removesuffix('_terms')}"
                ops, update = tuple(trace.ops[: engine.before_update]), tuple(trace.ops[engine.before_update :])
                parts.append(Part(name, phase.network, batch, ops, update, trace.saved_bytes, trace.peak))
        return Count(stage, share, tuple(parts))

    def _scene(self, stage: str, own_pose: bool, batch: int) -> tuple[Scene, list[Part]]:
        """A scene of drawn people, built for real, as fake tensors."""
        pairs, trace = drawn_pairs(self.settings.data.image_size, batch), Trace()
        pseudo = SameMap() if stage in WANTS_PSEUDO_PAIRS and not self.settings.data.true_targets else None
        with trace:
            scene = build_scene(pairs, self.settings, pseudo, own_pose)
        part = Part(SCENE, "", batch, tuple(trace.ops), (), 0, trace.peak)
        return tree_map_only(Tensor, self.fake.from_tensor, scene), [part]

    def _kept(self) -> dict[str, list[Tensor]]:
        """Everything that stays in memory from step to step, by category."""
        states = [state for engine in self.engines.values() for state in engine.optimizer.state.values()]
        return {
            "parameters": [p for engine in self.engines.values() for p in engine.module.parameters()],
            "optimizer": [each for state in states for each in state.values()],
            "averages": [p for average in self.averages.values() for p in average.module.parameters()],
            "features": list(self.features.buffers()),
        }


def without_files(settings: config.Config) -> config.Config:
    """The configuration without what it would read: weights and other runs have the shapes of fresh ones."""
    features = replace(settings.networks.features, weights="")
    networks = replace(settings.networks, features=features)
    return replace(settings, networks=networks, train=replace(settings.train, start_from={}, accumulate=1))


def variants(settings: config.Config, stage: str) -> list[Variant]:
    """The ways in which a stage trains, with their shares of it: own pose while it warms up, then the fade-in."""
    plan, enhanced = getattr(settings.stages, stage), settings.networks.appearance.local_enhancer
    draws = any(phase.network == "appearance" for phase in STAGES[stage])
    if not draws:
        return [(1.0, False, 1.0)]
    start, end = plan.fade_in if enhanced else (0.0, 0.0)
    edges = sorted({0.0, 1.0, plan.warm_up, start, end})
    found: Counter[tuple[bool, float]] = Counter()
    for left, right in pairwise(edges):
        middle = (left + right) / 2
        alpha = 0.0 if middle < start else 1.0 if middle >= end else 0.5
        found[middle < plan.warm_up, alpha] += right - left  # type: ignore[assignment]
    return [(share, own_pose, alpha) for (own_pose, alpha), share in found.items()]


def first_update(engine: PlainEngine) -> None:
    """Let the optimizer make its state, as the first step does."""
    for parameter in engine.module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    engine.optimizer.step()
    engine.optimizer.zero_grad(set_to_none=True)


@contextmanager
def _gradients_labelled(engines: Mapping[str, PlainEngine], trace: Trace) -> Iterator[None]:
    """Count a parameter's gradient as such as soon as it is there."""
    parameters = [p for engine in engines.values() for p in engine.module.parameters()]
    hooks = [p.register_post_accumulate_grad_hook(lambda p: trace.label([p.grad], "gradients")) for p in parameters]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
