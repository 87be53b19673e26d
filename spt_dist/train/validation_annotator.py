"""Validation of an annotator while it trains: its average on the same held-out people, cut to the person.

As `validation` it is the leading rank's alone, and nothing of it reaches the training. The joints by which people are
cut out are the true ones, so it is a little easier than a raw photo; `spt bench annotate` scores those.
"""

import time
from dataclasses import replace
from itertools import islice

import torch

from spt_dist import config
from spt_dist.annotate.scoring import score
from spt_dist.body import Joint, Label
from spt_dist.data.frame import frame
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import collate
from spt_dist.models.annotator import heatmap_peaks, seen_joints
from spt_dist.models.inputs import to_float, to_labels
from spt_dist.train.checkpoint import Origin
from spt_dist.train.log import RunLog
from spt_dist.train.state import Position, State

BATCH = 16


class AnnotatorValidation:
    """A fixed set of framed people, and the newest scores."""

    def __init__(self, settings: config.Config, split: str, device: torch.device) -> None:
        annotator = settings.networks.annotator
        assert annotator is not None, "its run has one"
        samples = islice(read_split(settings.data.shards, split), settings.evaluation.validation_pairs)
        framed = ((sample, frame(sample.image, sample.labels, sample.joints, annotator.size)) for sample in samples)
        self.batch = collate([replace(sample, **cut._asdict()) for sample, cut in framed]).to(device)
        self.newest: tuple[int, dict[str, float]] = -1, {}

    def run(self, state: State, log: RunLog, origin: Origin) -> None:
        """Score the average and tell the scores."""
        with log.paused():
            began = time.monotonic()
            scores = self.scores(state)
            about = {"against": "held-out people, framed", "pictures": len(self.batch.ids)}
            log.scores(scores, state.position, about | {"seconds": round(time.monotonic() - began, 3)})
            self.newest = state.position.images, scores

    def scores_of(self, position: Position) -> dict[str, float]:
        """The scores of the average at this position, if they were measured here."""
        images, scores = self.newest
        return scores if images == position.images else {}

    @torch.no_grad()
    def scores(self, state: State) -> dict[str, float]:
        """The average's scores as it is."""
        network, images = state.averages["annotator"].module, to_float(self.batch.images)
        logits = torch.cat([network(part) for part in images.split(BATCH)])
        labels, places = logits.split([len(Label), len(Joint)], 1)
        found = seen_joints(heatmap_peaks(places))
        return score(found, self.batch.joints, [to_labels(labels)], [self.batch.labels]).in_short()
