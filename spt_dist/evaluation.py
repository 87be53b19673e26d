"""Evaluation of a trained run: scores against baselines, a picture grid, a report.

A pair is a source and a target pose. Where the split holds two pictures of one identity the second is the *true
target*, which unpaired training never saw, and every variant is scored against it. Where it does not (unpaired photos),
the pose is another person's; then what can be scored is the reconstruction: the source drawn in its own pose.

Two baselines are always printed: the source copied as it is, and the source's mean colour per region painted into the
map that H_S predicted. The second is the honest hurdle: it loses on texture alone.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spt_dist import config, metrics, pictures
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import Batch, Sample, collate
from spt_dist.infer import Predictor
from spt_dist.models.inputs import one_hot, to_bytes, to_float
from spt_dist.models.weights import CARD
from spt_dist.regions import flat_fill
from spt_dist.report import write_report

BATCH, GRID_ROWS, SPLIT = 16, 8, "test"
GENERATED, COPIED, FLAT = "generated", "source copied", "flat colours in the H_S map"
TRUE_TARGET, OWN_POSE = "true target", "own pose"


@dataclass(frozen=True)
class Row:
    """One number: whose, against what, and by which definition, over `n` pictures."""

    variant: str
    against: str
    metric: str
    definition: str
    better: str
    value: float
    n: int


class Pair(NamedTuple):
    """A source and the picture whose pose it is to take; `true` when that picture shows the same person."""

    source: Sample
    target: Sample
    true: bool


class Drawn(NamedTuple):
    """A batch of pairs with what each variant gives for it."""

    pairs: list[Pair]
    source: Batch
    target: Batch
    variants: dict[str, Tensor]  # uint8 [b, h, w, 3]
    labels: Tensor  # uint8 [b, h, w]: the map that H_S predicted


def evaluate(
    run: Path, settings: config.Config, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Row]:
    """Score `run/weights` on the test split and write `run/evaluation/{metrics.json, grid.png, report.html}`.

    Raises:
        ValueError: the run has no weights, its shards are gone, or their test split holds fewer than two pictures.
    """
    predictor = Predictor.load(run / "weights")
    predictor.how = "whole"  # shards are framed already
    _warn_of_other_data(run, settings.data.shards)
    pairs = list(islice(make_pairs(list(read_split(settings.data.shards, SPLIT))), settings.evaluation.pairs))
    if not pairs:
        raise ValueError(f"the {SPLIT} split of `{settings.data.shards}` holds fewer than two pictures; pack more")
    paired = [pair for pair in pairs if pair.true]
    against = TRUE_TARGET if paired else OWN_POSE
    scored = paired or [Pair(pair.source, pair.source, True) for pair in pairs]
    drawn = []
    for start in range(0, len(scored), BATCH):
        drawn.append(draw(predictor, scored[start : start + BATCH]))
        progress(min(start + BATCH, len(scored)), len(scored))
    people: dict[str, Pair] = {}
    for pair in pairs:
        people.setdefault(pair.source.identity or pair.source.id, pair)
    shown = draw(predictor, list(people.values())[:GRID_ROWS])
    rows, remarks = score(drawn, against, settings.evaluation)
    out = run / "evaluation"
    out.mkdir(exist_ok=True)
    pictures.save(draw_grid(shown), out / "grid.png")
    (out / "metrics.json").write_text(json.dumps({"rows": [asdict(row) for row in rows], "remarks": remarks}, indent=1))
    write_report(run, [asdict(row) for row in rows], remarks)
    return rows


def _warn_of_other_data(run: Path, shards: str) -> None:
    card, found = json.loads((run / "weights" / CARD).read_text()), Manifest.load(shards).data_hash
    trained = card.get("data_hash", found)  # a converted checkpoint's card knows of no data
    if trained != found:
        warnings.warn(
            f"`{shards}` (data hash {found[:12]}) is not what `{run}` was trained on ({trained[:12]}): "
            "the scores are of other data; name the run's own with --set data.shards=FOLDER",
            stacklevel=2,
        )


def make_pairs(samples: list[Sample]) -> Iterator[Pair]:
    """Each sample with the next picture of its identity, or, for people seen once, with the next person's picture."""
    people: dict[str, list[Sample]] = {}
    for sample in samples:
        people.setdefault(sample.identity or sample.id, []).append(sample)
    single = [views[0] for views in people.values() if len(views) == 1]
    for views in people.values():
        if len(views) > 1:
            yield from (Pair(source, target, True) for source, target in zip(views, views[1:] + views[:1], strict=True))
    if len(single) > 1:
        yield from (Pair(source, target, False) for source, target in zip(single, single[1:] + single[:1], strict=True))


def draw(predictor: Predictor, pairs: list[Pair]) -> Drawn:
    """Every variant's pictures for a batch of pairs."""
    source, target = collate([pair.source for pair in pairs]), collate([pair.target for pair in pairs])
    image, parsing = predictor.draw(source.images, source.labels, source.joints, target.joints)
    labels = parsing.argmax(1).to(torch.uint8)
    flat = flat_fill(to_float(source.images), one_hot(source.labels), one_hot(labels))
    variants = {GENERATED: to_bytes(image), COPIED: source.images, FLAT: to_bytes(flat)}
    return Drawn(pairs, source, target, variants, labels)


def score(drawn: list[Drawn], against: str, networks: config.Evaluation) -> tuple[list[Row], list[str]]:
    """Every variant by every metric, and a line for each metric that could not be computed."""
    generated = torch.cat([batch.variants[GENERATED] for batch in drawn])
    truth = torch.cat([batch.target.images for batch in drawn])
    true_labels = torch.cat([batch.target.labels for batch in drawn])
    rows = []
    for metric in metrics.PAIRED:
        for variant in drawn[0].variants:
            scores = [
                metric.score(batch.variants[variant], batch.target.images, batch.target.labels, batch.target.joints)
                for batch in drawn
            ]
            value = torch.cat(scores).mean().item()
            rows.append(Row(variant, against, metric.name, metric.definition, metric.better, value, len(truth)))
    predicted, source_labels = (
        torch.cat(parts) for parts in zip(*((b.labels, b.source.labels) for b in drawn), strict=True)
    )
    for variant, labels in (("H_S", predicted), (COPIED, source_labels)):
        value = metrics.mean_iou(labels, true_labels)
        rows.append(Row(variant, against, "parsing mIoU", MIOU, "higher", value, len(truth)))
    remarks = []
    for compute in (_fid, _inception_score, _lpips):
        try:
            rows += compute(generated, truth, against, networks)
        except metrics.MissingNetworkError as error:
            remarks.append(str(error))
    return rows, remarks


MIOU = "intersection over union of the predicted and the true parsing map, mean over the labels that occur"


def _fid(images: Tensor, truth: Tensor, against: str, networks: config.Evaluation) -> list[Row]:
    value = metrics.frechet_distance(images, truth, networks.inception)
    return [
        Row(
            GENERATED,
            "real pictures of the split",
            "FID",
            f"features of {networks.inception}",
            "lower",
            value,
            len(truth),
        )
    ]


def _inception_score(images: Tensor, truth: Tensor, against: str, networks: config.Evaluation) -> list[Row]:
    definition = f"logits of {networks.inception}, one split"
    return [
        Row(variant, "-", "IS", definition, "higher", metrics.inception_score(pictured, networks.inception), len(truth))
        for variant, pictured in ((GENERATED, images), ("the real pictures", truth))
    ]


def _lpips(images: Tensor, truth: Tensor, against: str, networks: config.Evaluation) -> list[Row]:
    value = metrics.lpips(images, truth, networks.lpips).mean().item()
    return [Row(GENERATED, against, "LPIPS", f"network {networks.lpips}", "lower", value, len(truth))]


def draw_grid(drawn: Drawn) -> Any:
    """The first pairs as people look at them: source, target pose, predicted parsing, generated, true target."""
    size = (drawn.labels.shape[1], drawn.labels.shape[2])
    height = pictures.cell_height(size)
    true = all(pair.true for pair in drawn.pairs)
    rows, turns = [], []
    for slot, pair in enumerate(drawn.pairs[:GRID_ROWS]):
        turns.append(f"{pictures.view_label(pair.source.joints)}\nto {pictures.view_label(pair.target.joints)}")
        cells = [
            pair.source.image,
            pictures.skeleton_picture(pair.target.joints, size, height=height),
            pictures.parsing_picture(drawn.labels[slot].numpy(), height=height),
            drawn.variants[GENERATED][slot].numpy(),
        ]
        rows.append(cells + [pair.target.image] * true)
    headings = ["source", "target pose", "predicted parsing", "generated"] + ["true target"] * true
    return pictures.grid(rows, headings, turns)


def table(rows: list[Row]) -> None:
    """Print the scores, a line per variant."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(row.metric for row in rows))
    printed = Table(title=f"against the {rows[0].against}, {rows[0].n} pictures", title_justify="left")
    printed.add_column("")
    for name in names:
        printed.add_column(name, justify="right")
    values = {(row.variant, row.metric): f"{row.value:.3f}" for row in rows}
    for variant in dict.fromkeys(row.variant for row in rows):
        printed.add_row(variant, *(values.get((variant, name), "-") for name in names))
    Console().print(printed)
