"""Validation while a run trains: the averages draw the same held-out pairs again and again, and are scored.

The leading rank does it alone; the others go on, and wait for it where they next add up gradients. Nothing of it
reaches the training: no gradient, no mode of a network in training, no random number.
"""

import json
import time
from pathlib import Path

import torch

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.evaluation import MIOU, validate, validation_metrics
from spt_dist.held_out import Chosen, read_pairs
from spt_dist.infer import Predictor
from spt_dist.models.weights import CARD, WHICH
from spt_dist.train.checkpoint import Origin
from spt_dist.train.export import export_best
from spt_dist.train.log import RunLog
from spt_dist.train.phases import STAGES
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import AVERAGED, Position, State
from spt_dist.train.validation_annotator import AnnotatorValidation

SPLIT = "val"
DIRECTIONS = {"higher": 1, "lower": -1}


class Validation:
    """A fixed set of pairs, and the best averages so far."""

    def __init__(self, settings: config.Config, folder: Path, chosen: Chosen, device: torch.device) -> None:
        self.settings, self.folder, self.chosen = settings, folder, chosen
        self.random = [device] if device.type == "cuda" else []  # besides the CPU's
        self.newest: tuple[int, dict[str, float]] = -1, {}  # after so many images, the averages' scores

    def run(self, state: State, log: RunLog, origin: Origin) -> None:
        """Score the averages, tell the scores, and keep the averages if they are the best."""
        trained = AVERAGED & {phase.network for phase in STAGES[state.position.stage]}
        if not trained:
            return
        with log.paused(), torch.random.fork_rng(self.random):
            began = time.monotonic()
            averages = {name: average.module for name, average in state.averages.items()}
            scores = validate(
                Predictor(averages["semantic"], averages["appearance"], self.settings, "whole"), self.chosen
            )
            if "appearance" not in trained:
                scores = {MIOU: scores[MIOU]}  # what H_A will draw says nothing yet
            about = {"against": self.chosen.against, "pairs": len(self.chosen.pairs)}
            log.scores(scores, state.position, about | {"seconds": round(time.monotonic() - began, 3)})
            self.newest = state.position.images, scores
            if "appearance" in trained:
                self._keep_best(scores, state, origin, about)

    def scores_of(self, position: Position) -> dict[str, float]:
        """The scores of the averages at this position, if they were measured here."""
        images, scores = self.newest
        return scores if images == position.images else {}

    def _keep_best(self, scores: dict[str, float], state: State, origin: Origin, about: dict) -> None:
        name = self.settings.train.best_metric
        if name not in scores:  # it has no meaning on these pairs
            return
        best = self._best()
        if best is None or better(name) * (scores[name] - best) > 0:
            chosen_by = {"metric": name, "value": scores[name], "images": state.position.images} | about
            export_best(self.folder, self.settings, state, origin, chosen_by)

    def _best(self) -> float | None:
        """The best value so far: the card of what is kept says it, also to a run that goes on."""
        card = self.folder / WHICH["best"] / CARD
        chosen_by = json.loads(card.read_text())["chosen_by"] if card.exists() else {}
        return chosen_by["value"] if chosen_by.get("metric") == self.settings.train.best_metric else None


def open_validation(settings: config.Config, run: Path, ranks: Ranks) -> Validation | AnnotatorValidation | None:
    """What validates on this rank: nothing where another leads, none is asked for, or nobody is held out."""
    if not ranks.leads or not settings.train.evaluate_every_imgs or not can_validate(settings):
        return None
    if settings.networks.annotator is not None:
        return AnnotatorValidation(settings, SPLIT, ranks.device)
    pairs = read_pairs(settings.data.shards, SPLIT, settings.evaluation.validation_pairs)
    return Validation(settings, run, Chosen.of(pairs), ranks.device)


def can_validate(settings: config.Config) -> bool:
    """Whether the validation split has the two pictures that make a pair."""
    splits = Manifest.load(settings.data.shards).splits
    return SPLIT in splits and splits[SPLIT].samples > 1


def better(metric: str) -> int:
    """1 where a higher score is better, -1 where a lower one is."""
    return DIRECTIONS[validation_metrics()[metric]]


def check_best_metric(name: str) -> None:
    """`ConfigError` when the best weights cannot be told by `train.best_metric`."""
    known = [metric for metric, better in validation_metrics().items() if better in DIRECTIONS]
    if name not in known:
        raise config.ConfigError(
            f"`train.best_metric` = {name!r} is no score of the validation; give {', '.join(known)}"
        )
