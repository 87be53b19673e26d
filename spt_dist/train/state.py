"""All that training changes: networks in their engines, averages, and where in the curriculum we are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from spt_dist import config
from spt_dist.body import FOREGROUND_LABELS, Joint, Label
from spt_dist.models.annotator import AnnotatorNetwork
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.train.ema import Ema
from spt_dist.train.engine import Engine
from spt_dist.train.phases import ANNOTATOR_STAGES, STAGES, Phase
from spt_dist.train.start import load_networks

AVERAGED = frozenset({"semantic", "appearance"})  # what evaluation and serving use


@dataclass
class Position:
    """Where in the curriculum training is."""

    stage: str = next(iter(STAGES))
    stage_images: int = 0
    images: int = 0  # over all stages

    def enter(self, stage: str) -> None:
        """Begin a stage, or go on in it."""
        if self.stage != stage:
            self.stage, self.stage_images = stage, 0

    def fraction(self, stages: config.Stages) -> float:
        """How much of the stage is done, in [0, 1]."""
        return min(1.0, self.stage_images / max(1, getattr(stages, self.stage).images))


@dataclass
class State:
    """The engines by network name, the averages of the generators, and the position."""

    engines: dict[str, Engine]
    averages: dict[str, Ema]
    position: Position

    def averages_of(self, names: Iterable[str]) -> dict[str, nn.Module]:
        """The averaged networks of these names: where H_S is not trained, H_A learns from what will serve."""
        return {name: self.averages[name].module for name in names}

    def best(self) -> dict[str, nn.Module]:
        """Every network as another run should take it over: averaged where there is an average."""
        return {name: engine.module for name, engine in self.engines.items()} | self.averages_of(self.averages)


def stages_of(networks: config.Networks) -> dict[str, tuple[Phase, ...]]:
    """The curriculum: the generators', or that of a run which trains an annotator."""
    return ANNOTATOR_STAGES if networks.annotator else STAGES


def build_networks(networks: config.Networks, seed: int) -> dict[str, nn.Module]:
    """All trained networks, with the same weights on every rank."""
    torch.manual_seed(seed)
    if networks.annotator:
        return {"annotator": AnnotatorNetwork(networks.annotator)}
    widths = networks.discriminator.widths
    parsing = len(FOREGROUND_LABELS) if networks.image_discriminator_reads_parsing else 0
    return {
        "pose_detector": PoseDetector(networks.pose_detector),
        "semantic": SemanticGenerator(networks.semantic),
        "parsing_discriminator": PatchDiscriminator(len(Label) + len(Joint), widths),
        "appearance": AppearanceGenerator(networks.appearance),
        "image_discriminator": PatchDiscriminator(3 + parsing, widths),
        "face_discriminator": PatchDiscriminator(3, widths),
    }


def build_state(run: config.Config, make_engine: Callable[[nn.Module], Engine], device: torch.device) -> State:
    """Fresh networks in fresh engines."""
    networks = build_networks(run.networks, run.train.seed)
    load_networks(networks, run.train.start_from)
    networks = {name: network.to(device) for name, network in networks.items()}
    averaged = networks if run.networks.annotator else AVERAGED
    averages = {name: Ema(networks[name], run.train.ema_half_life_imgs) for name in sorted(averaged)}
    first = Position(stage=next(iter(stages_of(run.networks))))
    return State({name: make_engine(network) for name, network in networks.items()}, averages, first)


def learning_rate(base: float, fraction: float, decay: float) -> float:
    """`base`, falling linearly to 0 over the last fraction `decay` of the stage."""
    return base * min(1.0, (1.0 - fraction) / decay) if decay else base


def fade_in(fraction: float, between: tuple[float, float]) -> float:
    """Alpha of the local enhancer: 0 before, 1 after, linear between two fractions of the stage."""
    start, end = between
    if fraction >= end:
        return 1.0
    return max(0.0, (fraction - start) / (end - start)) if end > start else 0.0
