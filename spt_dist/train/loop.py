"""The training loop: one page of verbs.

For every step of every stage: read a batch, build its scenes, run the phases, average the generators; report, draw and
save when due. Everything that a step changes is in `State` and the reader, so a checkpoint is those two.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.pipeline import open_reader
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.weights import save_weights
from spt_dist.train import checkpoint
from spt_dist.train.engine import Engine
from spt_dist.train.log import RunLog
from spt_dist.train.phases import STAGES, WANTS_PSEUDO_PAIRS, Turn, phases_of, train_phase
from spt_dist.train.preview import draw_preview
from spt_dist.train.ranks import Ranks
from spt_dist.train.scene import build_scene
from spt_dist.train.state import State, build_state, fade_in, learning_rate


class Trainer:
    """One process's share of a run."""

    def __init__(self, settings: config.Config, run: Path, make_engine: Callable[[nn.Module], Engine], ranks: Ranks):
        self.settings, self.run, self.ranks = settings, run, ranks
        self.manifest = Manifest.load(settings.data.shards)
        self.reader = open_reader(
            settings.data,
            "train",
            batch=micro_batch(settings, ranks.size),
            rank=ranks.rank,
            world_size=ranks.size,
            seed=settings.train.seed,
            device=str(ranks.device),
        )
        self.batches = iter(self.reader)
        self.state: State = build_state(settings, make_engine, ranks.device)
        self.features = PerceptualFeatures(settings.networks.features).to(ranks.device)
        self.pseudo_pairs = PseudoPairs.from_shards(Path(settings.data.shards), "train")
        self.log = RunLog(run, settings.train.report_every, ranks)
        torch.manual_seed(settings.train.seed + ranks.rank)  # from here on, ranks draw their own dropout

    def train(self) -> None:
        """Run what is left of the curriculum, then write the weights."""
        names = list(STAGES)
        for stage in names[names.index(self.state.position.stage) :]:
            if self.state.position.stage != stage:
                self.state.position.stage, self.state.position.stage_images = stage, 0
            self.train_stage(stage)
        self.save()
        self.export()
        self.log.close()

    def train_stage(self, stage: str) -> None:
        """Steps until the stage's images are seen."""
        of_images = getattr(self.settings.stages, stage).images
        self.log.start(self.state.position)
        while self.state.position.stage_images < of_images:
            self.step(stage)
            if self.due(self.settings.train.report_every) or self.state.position.stage_images >= of_images:
                self.log.report(self.state.position, of_images)
            if self.due(self.settings.train.picture_every):
                self.log.picture("preview", self.draw_preview, self.state.position)
            if self.due(self.settings.train.checkpoint_every):
                self.save()

    def step(self, stage: str) -> None:
        """One batch through the stage's phases."""
        plan, fraction = getattr(self.settings.stages, stage), self.state.position.fraction(self.settings.stages)
        pseudo_pairs = self.pseudo_pairs if stage in WANTS_PSEUDO_PAIRS else None
        own_pose, alpha = fraction < plan.warm_up, fade_in(fraction, plan.fade_in)
        turns = []
        for _ in range(self.settings.train.accumulate):
            scene = build_scene(next(self.batches), self.settings, pseudo_pairs, own_pose)
            turns.append(Turn(scene, self.settings, self.features, alpha))
        for phase in phases_of(stage, self.settings.losses):
            base = plan.discriminator_learning_rate if phase.discriminates else plan.learning_rate
            rate = learning_rate(base, fraction, plan.decay)
            self.log.collect(train_phase(phase, self.state.engines, turns, rate))
            if phase.network in self.state.averages:
                module = self.state.engines[phase.network].module
                self.state.averages[phase.network].update(module, self.settings.data.batch)
        self.state.position.stage_images += self.settings.data.batch
        self.state.position.images += self.settings.data.batch

    def draw_preview(self) -> np.ndarray:
        """Held-out people in other poses, by the averages as they are."""
        return draw_preview(self.state, self.settings, self.manifest)

    def due(self, every_imgs: int) -> bool:
        """Whether the last step passed a multiple of `every_imgs`."""
        return self.state.position.images % every_imgs < self.settings.data.batch

    def save(self) -> Path:
        """Write a checkpoint."""
        return checkpoint.save(self.run, self.settings, self.state, self.reader, self.manifest.data_hash, self.ranks)

    def resume(self) -> bool:
        """Go back to the newest checkpoint; False when there is none."""
        path = checkpoint.latest(self.run)
        if path is not None:
            checkpoint.load(path, self.settings, self.state, self.reader, self.manifest.data_hash, self.ranks)
            self.batches = iter(self.reader)
            self.log.forget_after(self.state.position)
        return path is not None

    def export(self) -> None:
        """Write the averaged generators with their card, for inference."""
        if self.ranks.leads:
            save_weights(
                self.run / "weights",
                {name: average.module for name, average in self.state.averages.items()},
                {
                    "config": config.to_tree(self.settings),
                    "versions": checkpoint.versions(),
                    "data_hash": self.manifest.data_hash,
                    "frame": self.manifest.how,
                    "images": self.state.position.images,
                },
            )
        self.ranks.barrier()


def micro_batch(settings: config.Config, ranks: int) -> int:
    """Samples per rank and micro-batch."""
    share, rest = divmod(settings.data.batch, ranks * settings.train.accumulate)
    if rest or not share:
        raise config.ConfigError(
            f"`data.batch` = {settings.data.batch} does not divide among {ranks} worker(s) x `train.accumulate` = "
            f"{settings.train.accumulate}; choose a multiple of {ranks * settings.train.accumulate}"
        )
    return share


def prepare_run(settings: config.Config, run: Path, resume: bool, workers: int = 1) -> None:
    """Make the run folder and write the resolved configuration.

    What would stop a worker stops here: a batch that does not divide, shards or weights that cannot be read, and a run
    that is there already and not resumed.
    """
    micro_batch(settings, workers)
    Manifest.load(settings.data.shards).split("train")
    PerceptualFeatures(settings.networks.features)
    if not resume and checkpoint.latest(run) is not None:
        raise config.ConfigError(f"`{run}` holds a run already; add --resume to continue it, or name another folder")
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(config.to_tree(settings), indent=1))
    if not resume:
        (run / "log.jsonl").write_text("")
