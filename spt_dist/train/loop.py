"""The training loop: one page of verbs.

For every step of every stage: read a batch, build its scenes, run the phases, average the generators; report, draw,
validate and save when due. Everything that a step changes is in `State` and the reader, so a checkpoint is those two.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.profiler import record_function

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import micro_batch, open_reader
from spt_dist.data.schema import Pairs
from spt_dist.data.search.found import open_pseudo_pairs
from spt_dist.data.twins import Twins
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.noise import Rows
from spt_dist.run_log import EVENTS, tell_event
from spt_dist.train import checkpoint
from spt_dist.train.engine import Engine
from spt_dist.train.export import export
from spt_dist.train.log import NonFiniteLossError, RunLog
from spt_dist.train.phases import WANTS_PSEUDO_PAIRS, Turn, phases_of, train_phase
from spt_dist.train.preview import draw_preview
from spt_dist.train.profiling import traced, untraced
from spt_dist.train.ranks import Ranks
from spt_dist.train.saving import Saver
from spt_dist.train.scene import Scenes
from spt_dist.train.state import Position, State, build_state, fade_in, learning_rate, stages_of
from spt_dist.train.stop import Wish
from spt_dist.train.validation import open_validation
from spt_dist.train.watch import Watchdog
from spt_dist.train.windows import random_windows


class Trainer:
    """One process's share of a run."""

    def __init__(
        self,
        settings: config.Config,
        run: Path,
        make_engine: Callable[[nn.Module], Engine],
        ranks: Ranks,
        profile: bool = False,
    ):
        self.settings, self.run, self.ranks = settings, run, ranks
        self.traced = traced if profile and ranks.leads else untraced
        self.manifest = Manifest.load(settings.data.shards)
        self.reader = open_reader(
            settings.data,
            "train",
            rank=ranks.rank,
            ranks=ranks.size,
            accumulate=settings.train.accumulate,
            seed=settings.train.seed,
            device=str(ranks.device),
            tell=lambda what: tell_event(run, what, rank=ranks.rank),
        )
        self.state: State = build_state(settings, make_engine, ranks.device)
        self.scenes = Scenes(settings)
        self.annotator, self.features = settings.networks.annotator, nn.Module()  # which needs no features
        if self.annotator is None:
            self.features = PerceptualFeatures(settings.networks.features).to(ranks.device)
        self.twins = Twins.from_shards(settings.data.shards) if settings.data.true_targets else None
        self.pseudo_pairs = None
        if self.twins is None and any(getattr(settings.stages, stage).images for stage in WANTS_PSEUDO_PAIRS):
            self.pseudo_pairs = open_pseudo_pairs(settings.data, settings.train.seed)
        engine = type(next(iter(self.state.engines.values()))).__name__
        self.origin = checkpoint.Origin.of(settings, self.manifest, engine)
        self.log = RunLog(run, ranks)
        self.validation = open_validation(settings, run, ranks)
        self.saver = Saver(run, settings.train, ranks, self.log.event)
        self.watchdog = Watchdog(run, ranks, settings.train.stall_s)
        self.wish = Wish(run, ranks)

    def train(self) -> bool:
        """Run what is left of the curriculum, then write the weights; False when asked to stop before.

        Raises:
            NonFiniteLossError: a loss or a weight became NaN or infinite.
            OSError: the last checkpoint cannot be written.
        """
        self.watchdog.start()
        names = list(stages_of(self.settings.networks))
        finished = all(self.train_stage(stage) for stage in names[names.index(self.state.position.stage) :])
        self.watchdog.end()
        self.save()
        if not self.ranks.all(self.saver.settle()):
            raise OSError(f"the last checkpoint could not be written; `{EVENTS}` says why; mend that, then --resume")
        if finished:
            export(self.run, self.settings, self.state, self.origin, self.ranks)
        self.saver.copy(lambda mirror: mirror.push_weights(self.run))
        self.log.close()
        return finished

    def train_stage(self, stage: str) -> bool:
        """Steps until the stage's images are seen; False when asked to stop before."""
        self.state.position.enter(stage)
        of_images = getattr(self.settings.stages, stage).images
        self.log.start(self.state.position)
        with self.traced(self.run, stage) as stepped:
            while self.state.position.stage_images < of_images:
                if self.wish.to_stop():
                    return False
                self.step(stage)
                ends = self.state.position.stage_images >= of_images
                if ends or self.due(self.settings.train.report_every_imgs):
                    with record_function("report"):
                        self.log.report(self.state.position, of_images)
                with self.watchdog.resting():
                    self.show(ends)
                    if self.due(self.settings.train.checkpoint_every_imgs):
                        self.save()
                stepped()
        return True

    def show(self, ends: bool) -> None:
        """Draw and score the averages where due, or where the stage ends."""
        if ends or self.due(self.settings.train.picture_every_imgs):
            self.log.picture("preview", self.draw_preview, self.state.position)
        if self.validation and (ends or self.due(self.settings.train.evaluate_every_imgs)):
            self.validation.run(self.state, self.log, self.origin)

    def step(self, stage: str) -> None:
        """One batch through the stage's phases."""
        plan, fraction = getattr(self.settings.stages, stage), self.state.position.fraction(self.settings.stages)
        own_pose, alpha = fraction < plan.warm_up, fade_in(fraction, plan.fade_in)
        turns = [self.read(part, stage, own_pose, alpha) for part in range(self.settings.train.accumulate)]
        phases = phases_of(stage, self.settings.losses)
        averages = self.state.averages_of(self.state.averages.keys() - {phase.network for phase in phases})
        for phase in phases:
            self.watchdog.at(f"{phase.network} after {self.state.position.images:,} images")
            base = plan.discriminator_learning_rate if phase.discriminates else plan.learning_rate
            rate = learning_rate(base, fraction, plan.decay)
            with record_function(phase.network):
                self.log.collect(train_phase(phase, self.state.engines, turns, rate, averages))
            if phase.network in self.state.averages:
                with record_function("average"), self.state.engines[phase.network].whole() as module:
                    self.state.averages[phase.network].update(module, self.settings.data.batch)
        self.state.position.stage_images += self.settings.data.batch
        self.state.position.images += self.settings.data.batch

    def read(self, part: int, stage: str, own_pose: bool, alpha: float) -> Turn:
        """The step's next micro-batch, as its phases see it."""
        with record_function("read"):
            pairs = next(self.reader)
            if self.twins is not None:
                pairs = self.twins.pair(pairs.source)
        with record_function("scene"):
            if self.annotator is not None:
                window, own_pose = random_windows(pairs.source, self.annotator, self.rows(part)), True
                pairs = Pairs(window, window)
            pseudo_pairs = self.pseudo_pairs if stage in WANTS_PSEUDO_PAIRS else None
            scene = self.scenes.build(pairs, pseudo_pairs, own_pose)
        return Turn(scene, self.settings, self.features, alpha, self.rows(part))

    def rows(self, part: int) -> Rows:
        """Which of the batch's rows a micro-batch of this rank is."""
        settings, ranks = self.settings, self.ranks
        share = micro_batch(settings.data, ranks.size, settings.train.accumulate)
        key = (settings.train.seed, self.state.position.images)
        return Rows(key, settings.data.batch, (part * ranks.size + ranks.rank) * share, share)

    def draw_preview(self) -> np.ndarray:
        """Held-out people in other poses, by the averages as they are."""
        return draw_preview(self.state, self.settings, self.manifest, self.run)

    def due(self, every_imgs: int) -> bool:
        """Whether the last step passed a multiple of `every_imgs`."""
        return self.state.position.images % every_imgs < self.settings.data.batch

    def save(self) -> None:
        """Begin to write a checkpoint; `NonFiniteLossError` when a network is broken: the last one stays the newest."""
        for name, engine in self.state.engines.items():
            with engine.whole() as module:
                finite = torch.stack([parameter.isfinite().all() for parameter in module.parameters()]).all()
            if not self.ranks.all(bool(finite)):
                raise NonFiniteLossError(
                    f"`{name}` has non-finite weights; resume from the last checkpoint with train.clip"
                )
        meta = checkpoint.describe(self.settings, self.state, self.reader, self.origin, self.ranks)
        scored = self.validation and self.validation.scores_of(self.state.position)
        with record_function("save"):
            self.saver.save(self.state, meta | {"scores": scored or {}})

    def resume(self) -> bool:
        """Go back to the newest whole checkpoint, or to the start; False when there is none."""
        self.saver.clear()
        path, remarks = self.ranks.told(checkpoint.newest(self.run) if self.ranks.leads else None)
        if path is not None:
            checkpoint.load(path, self.state, self.reader)
            self.saver.saved_imgs = self.state.position.images
        self.log.forget_after(self.state.position if path is not None else Position())
        self.log.begin(self.state.position, remarks)
        return path is not None
