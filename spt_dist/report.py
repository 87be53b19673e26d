"""The report of a run: one HTML file that needs nothing beside it."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
from jinja2 import Environment

from spt_dist import pictures
from spt_dist.curves import STAGE_COLOURS, Curve, curves, draw_curves
from spt_dist.models.weights import CARD, WHICH
from spt_dist.run_log import LOG, read_events, read_log, read_scores

TEMPLATE, STYLE = "report.html", "report.css"
FILM, PEOPLE = "previews", "people.jpg"  # the run's folder of frames, and its still
FRAMES_PER_STAGE = 3
TRAINS_NO_GENERATOR = "pose"  # this stage's frames show noise


class Findings(NamedTuple):
    """What an evaluation found: scores, what could not be scored, and the worst pairs with the rules of their reason.

    A failure is told by its facts and shown by the pictures under `headings`. `named` holds what protocols gave, as
    metrics.json has it, where any were asked for.
    """

    rows: list[dict[str, Any]]
    remarks: list[str]
    failures: list[tuple[dict[str, Any], list[Any]]]
    headings: tuple[str, ...]
    rules: dict[str, str]
    named: Mapping[str, Any] = MappingProxyType({})


def write_report(run: Path, out: Path, weights: Path, findings: Findings) -> Path:
    """Write `out/report.html` from what was found, `out/grid.png`, the run's log and film and the card of `weights`."""
    card = json.loads((weights / CARD).read_text())
    rows, log, scores = findings.rows, _lines(run, read_log), _lines(run, read_scores)
    chosen = _chosen_by(run)
    reached = {line["all_images"]: line["stage"] for line in log}
    page = (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(files("spt_dist").joinpath(TEMPLATE).read_text())
        .render(
            name=run.name,
            style=files("spt_dist").joinpath(STYLE).read_text(),
            chosen_by=card.get("chosen_by"),
            against=rows[0]["against"] if rows else "-",
            count=rows[0]["n"] if rows else 0,
            metrics=list(dict.fromkeys((row["metric"], row["definition"], row["better"]) for row in rows)),
            variants=list(dict.fromkeys(row["variant"] for row in rows)),
            values={(row["variant"], row["metric"]): row["value"] for row in rows},
            best=_best(rows),
            remarks=findings.remarks,
            named=findings.named,
            grid=pictures.inline((out / "grid.png").read_bytes()),
            stages=[(stage, STAGE_COLOURS[stage]) for stage in dict.fromkeys(reached.values())],
            curves=pictures.inline(draw_curves(curves(log, "terms"))) if log else "",
            validation=pictures.inline(draw_curves(_ringed(curves(scores, "scores"), chosen))) if scores else "",
            ringed=bool(chosen),
            validated=scores[-1] if scores else {},
            still=pictures.inline((run / FILM / PEOPLE).read_bytes()) if (run / FILM / PEOPLE).exists() else "",
            film=choose_frames(run, reached),
            failures=[facts | {"row": _strip(row)} for facts, row in findings.failures],
            headings=findings.headings,
            events=read_events(run),
            rules=findings.rules,
            config=json.dumps(card["config"], indent=1),
            facts={"images seen": f"{card['images']:,}", "data hash": card["data_hash"][:16], "frame": card["frame"]}
            | card["versions"],
        )
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def choose_frames(run: Path, reached: dict[int, str]) -> list[dict[str, Any]]:
    """At most `FRAMES_PER_STAGE` frames of each stage, evenly apart and with its last; `reached` maps images to stages.

    A frame belongs to the stage of the first report at its images or behind.
    """
    by_stage: dict[str, list[Path]] = {}
    for frame in sorted((run / FILM).glob("[0-9]*.jpg")):
        stage = next((reached[images] for images in sorted(reached) if images >= int(frame.stem)), None)
        if stage is not None and stage != TRAINS_NO_GENERATOR:
            by_stage.setdefault(stage, []).append(frame)
    return [
        {
            "images": int(frame.stem),
            "stage": stage,
            "colour": STAGE_COLOURS[stage],
            "image": pictures.inline(frame.read_bytes()),
        }
        for stage, frames in by_stage.items()
        for frame in _spread(frames)
    ]


def _spread(frames: list[Path]) -> list[Path]:
    count = min(FRAMES_PER_STAGE, len(frames))
    return [frames[(index + 1) * len(frames) // count - 1] for index in range(count)]


def _lines(run: Path, read: Any) -> list[dict[str, Any]]:
    return read(run / LOG) if (run / LOG).exists() else []


def _chosen_by(run: Path) -> dict[str, Any]:
    """By which score the run's best weights were chosen, if it keeps any."""
    card = run / WHICH["best"] / CARD
    return json.loads(card.read_text())["chosen_by"] if card.exists() else {}


def _ringed(drawn: list[Curve], chosen: dict[str, Any]) -> list[Curve]:
    """The curve by which the best weights were chosen shows where."""
    return [
        curve._replace(best=(chosen["images"], chosen["value"])) if curve.name == chosen.get("metric") else curve
        for curve in drawn
    ]


def _best(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The best variant of each metric that more than one variant has."""
    best = set()
    for metric in {row["metric"] for row in rows}:
        scored = [row for row in rows if row["metric"] == metric]
        if len(scored) > 1:
            choose = max if scored[0]["better"] == "higher" else min
            best.add((choose(scored, key=lambda row: row["value"])["variant"], metric))
    return best


def _strip(row: list[Any]) -> str:
    """A row of pictures as one JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, pictures.JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pictures.sheet([row]), cv2.COLOR_RGB2BGR), options)
    return pictures.inline(encoded.tobytes())
