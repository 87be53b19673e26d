"""Before a run starts: what would stop a worker later, perhaps hours in, stops here, in one line."""

import json
import shutil
import warnings
from pathlib import Path

import torch

from spt_dist import config, losses
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import open_reader
from spt_dist.models.annotator import AnnotatorNetwork
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.blocks import require_divisible
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import WHICH
from spt_dist.run_log import EVENTS, LOG, tell_event
from spt_dist.train import checkpoint
from spt_dist.train.mirror import Mirror
from spt_dist.train.phases import STAGES
from spt_dist.train.preview import FOLDER as PREVIEWS
from spt_dist.train.stop import ASKED
from spt_dist.train.validation import SPLIT, can_validate, check_best_metric

STOPPED = "stopped.txt"  # in the run's folder: why a worker gave up, when starting again cannot help


def prepare_run(
    settings: config.Config, run: Path, *, resume: bool, ranks: int, engine: str, force: bool = False
) -> None:
    """Check the configuration against this machine's data, make the run's folder and write the configuration into it.

    With `force` a checkpoint of another configuration, data or code is gone on from all the same.

    Raises:
        ConfigError: the folder holds a run that is not to be resumed, or a batch that does not divide.
        ValueError: shards, weights, sizes or label names that cannot be used, or a checkpoint of another run.
    """
    _check(settings, ranks)
    if settings.train.mirror:
        mirror = Mirror(settings.train.mirror)
        if resume and not checkpoint.all_of(run):
            mirror.fetch(run)
        elif mirror.checkpoints() and not checkpoint.all_of(run):
            raise config.ConfigError(f"`{mirror.uri}` holds a run already; add --resume, or name another mirror")
    if checkpoint.all_of(run) and not resume:
        raise config.ConfigError(f"`{run}` holds a run already; add --resume to continue it, or name another folder")
    newest, remarks = checkpoint.newest(run)
    if checkpoint.all_of(run) and newest is None:
        raise ValueError(f"no checkpoint of `{run}` is whole: {'; '.join(remarks)}; start a new run folder")
    differs = newest is not None and checkpoint.difference(newest, _origin(settings, engine))
    if differs and not force:
        raise ValueError(
            f"`{newest}` is of another run: {differs}; resume with the same, "
            "add --force to go on from it all the same, or start a new run folder"
        )
    run.mkdir(parents=True, exist_ok=True)
    for left in (STOPPED, ASKED):
        (run / left).unlink(missing_ok=True)
    (run / "config.json").write_text(json.dumps(config.to_tree(settings), indent=1))
    if differs:
        tell_event(run, f"goes on from a checkpoint of another run, as forced: {differs}")
    if newest is None:
        for log in (LOG, EVENTS):
            (run / log).write_text("")
        for left in (WHICH["best"], PREVIEWS):  # of a run that was broken off before its first checkpoint
            shutil.rmtree(run / left, ignore_errors=True)


def _origin(settings: config.Config, engine: str) -> checkpoint.Origin:
    return checkpoint.Origin.of(settings, Manifest.load(settings.data.shards), engine)


def _check(settings: config.Config, ranks: int) -> None:
    for size in range(min(settings.train.min_workers or ranks, ranks), ranks + 1):
        open_reader(settings.data, "train", ranks=size, accumulate=settings.train.accumulate)
    check_best_metric(settings.train.best_metric)
    if settings.train.keep_best and settings.train.evaluate_every_imgs % settings.train.checkpoint_every_imgs:
        raise config.ConfigError(
            f"`train.keep_best` = {settings.train.keep_best} keeps checkpoints by their validation: "
            f"`train.evaluate_every_imgs` = {settings.train.evaluate_every_imgs} must be a multiple of "
            f"`train.checkpoint_every_imgs` = {settings.train.checkpoint_every_imgs}"
        )
    if settings.train.evaluate_every_imgs and not can_validate(settings):
        warnings.warn(
            f"`train.evaluate_every_imgs` = {settings.train.evaluate_every_imgs} is ignored: `{settings.data.shards}` "
            f"has no split `{SPLIT}` of two pictures and more; pack one, or set it to 0",
            stacklevel=4,
        )
    if settings.data.true_targets and settings.data.pseudo_pairs:
        raise config.ConfigError(
            f"`data.true_targets` gives H_S the true maps: `data.pseudo_pairs` = {settings.data.pseudo_pairs!r} would "
            'never be read; set one of the two to false or ""'
        )
    others = [stage for stage in STAGES if getattr(settings.stages, stage).images]
    if settings.networks.annotator is not None:
        _check_annotator(settings, settings.networks.annotator, others)
        return
    if settings.stages.annotator.images:
        raise config.ConfigError(
            f"`stages.annotator.images` = {settings.stages.annotator.images}, but the run has no `networks.annotator`; "
            "give it one (`configs/annotator.toml` has), or set them to 0"
        )
    losses.label_weights(settings.networks.semantic.label_weights)
    PerceptualFeatures(settings.networks.features)
    networks, size = settings.networks, settings.data.image_size
    with torch.device("meta"):  # shapes without numbers
        PatchDiscriminator(3, networks.discriminator.widths)(torch.empty(1, 3, *size))
        require_divisible(size, SemanticGenerator(networks.semantic).unet.factor, "H_S")
        require_divisible(size, AppearanceGenerator(networks.appearance).factor, "H_A")


def _check_annotator(settings: config.Config, annotator: config.Annotator, others: list[str]) -> None:
    if others:
        raise config.ConfigError(
            f"a run with `networks.annotator` trains nothing else, but `stages.{others[0]}.images` is above 0; set it "
            "to 0, or train the annotator in a run of its own"
        )
    if annotator.scales[0] > annotator.scales[1]:
        raise config.ConfigError(f"`networks.annotator.scales` = {annotator.scales}: give the smaller one first")
    losses.label_weights(annotator.label_weights)
    with torch.device("meta"):
        require_divisible(annotator.size, AnnotatorNetwork(annotator).factor, "the annotator")
