"""Evaluation of a trained run: scores against baselines, a picture grid, failure cases, a report.

Pairs of a held-out split are drawn and compared with their true targets, or, where nobody was photographed twice, with
the sources (`held_out`). While a run trains, `validate` does the same for a few pairs, for what is generated alone.

Two baselines are always printed: the source copied as it is, and the source's mean colour per region painted into the
map that H_S predicted. The second is the honest hurdle: it loses on texture alone.

By name, the lineages' own evaluations come beside these scores (`protocols`).
"""

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spt_dist import config, metrics, pictures
from spt_dist.data.manifest import Manifest
from spt_dist.failures import RULES, find_failures
from spt_dist.held_out import (
    BATCH,
    COPIED,
    GENERATED,
    GRID_ROWS,
    HEADINGS,
    REAL,
    Chosen,
    Drawn,
    Pair,
    draw,
    draw_grid,
    read_listed,
    read_pairs,
    read_references,
)
from spt_dist.infer import Predictor
from spt_dist.models.weights import CARD, weights_folder
from spt_dist.protocols.definition import Case
from spt_dist.protocols.judges import Judges
from spt_dist.protocols.scoring import BOOTSTRAP, Outcome, chosen, score_protocols
from spt_dist.report import Findings, write_report
from spt_dist.scripted import MissingNetworkError

SPLIT = "test"
MIOU, RANKED_BY = "parsing mIoU", "masked SSIM"  # the latter finds the failures
OUTPUT = {"last": "evaluation", "best": "evaluation-best"}  # by the weights that are scored


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


class Evaluated(NamedTuple):
    """What an evaluation gave: our own rows, and those of the protocols that were asked for."""

    rows: list[Row]
    by_protocol: Outcome


def evaluate(
    run: Path,
    settings: config.Config,
    progress: Callable[[int, int], None] = lambda done, total: None,
    weights: str = "last",
    protocols: Sequence[str] = (),
    listed: Path | None = None,
    resampled: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluated:
    """Score a run's weights on the test split; write metrics.json, failures.json, grid.png and report.html.

    They go to `run/evaluation`, for the best weights to `run/evaluation-best`. The pairs are those of the file
    `listed`, where one is given. `progress(done, total)` counts pairs, `resampled` the resamples behind intervals.

    Raises:
        ValueError: the run has no such weights, its shards are gone, their test split holds fewer than two pictures, or
            there is no such protocol.
    """
    names = chosen(protocols)
    predictor = Predictor.load(weights_folder(run, weights))
    predictor.how = "whole"  # shards are framed already
    _warn_of_other_data(weights_folder(run, weights), settings.data.shards)
    pairs = _pairs(settings, listed)
    if not pairs:
        raise ValueError(f"the {SPLIT} split of `{settings.data.shards}` holds fewer than two pictures; pack more")
    scored, drawn = Chosen.of(pairs), []
    for start in range(0, len(scored.pairs), BATCH):
        drawn.append(draw(predictor, scored.pairs[start : start + BATCH]))
        progress(min(start + BATCH, len(scored.pairs)), len(scored.pairs))
    people: dict[str, Pair] = {}
    for pair in pairs:
        people.setdefault(pair.source.identity or pair.source.id, pair)
    shown = draw(predictor, list(people.values())[:GRID_ROWS])
    rows, remarks = score(drawn, scored.against, settings.evaluation)
    if listed:
        remarks.append(f"The pairs are those of {listed.name}: {len(scored.pairs):,} of them.")
    by_protocol = score_by(names, drawn, settings, run, resampled)
    failures = find_failures(drawn, score_pairs(drawn, GENERATED)[RANKED_BY], settings)
    out = run / OUTPUT[weights]
    out.mkdir(exist_ok=True)
    pictures.save(draw_grid(shown), out / "grid.png")
    told = {"rows": [asdict(row) for row in rows], "remarks": remarks}
    named: dict[str, Any] = {"protocols": asdict(by_protocol), "bootstrap": BOOTSTRAP} if names else {}
    (out / "metrics.json").write_text(json.dumps(told | named, indent=1))
    (out / "failures.json").write_text(json.dumps([asdict(failure) for failure, _ in failures], indent=1))
    worst = [(asdict(failure), row) for failure, row in failures]
    findings = Findings(told["rows"], remarks, worst, HEADINGS, RULES, named)
    write_report(run, out, weights_folder(run, weights), findings)
    return Evaluated(rows, by_protocol)


def _pairs(settings: config.Config, listed: Path | None) -> list[Pair]:
    shards, most = settings.data.shards, settings.evaluation.pairs
    return read_listed(shards, SPLIT, most, listed) if listed else read_pairs(shards, SPLIT, most)


def score_by(
    names: Sequence[str],
    drawn: Sequence[Drawn],
    settings: config.Config,
    run: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """What is drawn, by each of the named protocols; `run` may hold a pose detector of its own."""
    truth, joints = (torch.cat(p) for p in zip(*((b.target.images, b.target.joints) for b in drawn), strict=True))
    variants = {
        variant: Case(torch.cat([batch.variants[variant] for batch in drawn]), truth, joints)
        for variant in drawn[0].variants
    }
    references = partial(read_references, settings.data.shards, settings.evaluation.references)
    return score_protocols(names, variants, GENERATED, REAL, Judges(settings, run, references), progress)


def _warn_of_other_data(weights: Path, shards: str) -> None:
    card, found = json.loads((weights / CARD).read_text()), Manifest.load(shards).data_hash
    trained = card.get("data_hash", found)  # a converted checkpoint's card knows of no data
    if trained != found:
        warnings.warn(
            f"`{shards}` (data hash {found[:12]}) is not what `{weights}` was trained on ({trained[:12]}): "
            "the scores are of other data; name the run's own with --set data.shards=FOLDER",
            stacklevel=2,
        )


def score_pairs(drawn: Sequence[Drawn], variant: str) -> dict[str, Tensor]:
    """A variant's scores by metric, one per pair; NaN where a score has no meaning."""
    scores = {
        metric.name: [
            metric.score(batch.variants[variant], batch.target.images, batch.target.labels, batch.target.joints)
            for batch in drawn
        ]
        for metric in metrics.PAIRED
    }
    return {name: torch.cat(parts) for name, parts in scores.items()}


def validate(predictor: Predictor, chosen: Chosen) -> dict[str, float]:
    """The mean scores of what is generated, and H_S's mIoU; a score that has no meaning here is left out."""
    drawn = [draw(predictor, chosen.pairs[start : start + BATCH]) for start in range(0, len(chosen.pairs), BATCH)]
    means = {name: scores.nanmean().item() for name, scores in score_pairs(drawn, GENERATED).items()}
    labels, true_labels = (torch.cat(p) for p in zip(*((b.labels, b.target.labels) for b in drawn), strict=True))
    means[MIOU] = metrics.mean_iou(labels, true_labels)
    return {name: value for name, value in means.items() if value == value}


def validation_metrics() -> dict[str, str]:
    """The metrics that `validate` gives, and which of their values are better."""
    return {metric.name: metric.better for metric in metrics.PAIRED} | {MIOU: "higher"}


def score(drawn: list[Drawn], against: str, networks: config.Evaluation) -> tuple[list[Row], list[str]]:
    """Every variant by every metric, and a line for each metric that could not be computed."""
    generated = torch.cat([batch.variants[GENERATED] for batch in drawn])
    truth = torch.cat([batch.target.images for batch in drawn])
    true_labels = torch.cat([batch.target.labels for batch in drawn])
    by_variant = {variant: score_pairs(drawn, variant) for variant in drawn[0].variants}
    rows = [
        Row(variant, against, m.name, m.definition, m.better, scores[m.name].nanmean().item(), len(truth))
        for m in metrics.PAIRED
        for variant, scores in by_variant.items()
    ]
    predicted, source_labels = (
        torch.cat(parts) for parts in zip(*((b.labels, b.source.labels) for b in drawn), strict=True)
    )
    for variant, labels in (("H_S", predicted), (COPIED, source_labels)):
        value = metrics.mean_iou(labels, true_labels)
        rows.append(Row(variant, against, MIOU, MIOU_DEFINITION, "higher", value, len(truth)))
    remarks = []
    for compute in (_fid, _inception_score, _lpips):
        try:
            rows += compute(generated, truth, against, networks)
        except MissingNetworkError as error:
            remarks.append(str(error))
    return rows, remarks


MIOU_DEFINITION = "intersection over union of the predicted and the true parsing map, mean over the labels that occur"


def _fid(images: Tensor, truth: Tensor, against: str, networks: config.Evaluation) -> list[Row]:
    value = metrics.frechet_distance(images, truth, networks.inception, networks.sha256)
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
        Row(variant, "-", "IS", definition, "higher", value, len(truth))
        for variant, pictured in ((GENERATED, images), (REAL, truth))
        for value in (metrics.inception_score(pictured, networks.inception, networks.sha256),)
    ]


def _lpips(images: Tensor, truth: Tensor, against: str, networks: config.Evaluation) -> list[Row]:
    value = metrics.lpips(images, truth, networks.lpips, networks.sha256).mean().item()
    return [Row(GENERATED, against, "LPIPS", f"network {networks.lpips}", "lower", value, len(truth))]


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
