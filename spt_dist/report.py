"""The report of a run: one HTML file that needs nothing beside it."""

import base64
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

TEMPLATE = "report.html"
STAGE_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2")


def write_report(run: Path, rows: list[dict[str, Any]], remarks: list[str]) -> Path:
    """Write RUN/evaluation/report.html from the scores, the grid, the log and the card; gives its path."""
    card = json.loads((run / "weights" / "card.json").read_text())
    metrics = list(dict.fromkeys((row["metric"], row["definition"], row["better"]) for row in rows))
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    values = {(row["variant"], row["metric"]): row["value"] for row in rows}
    log = read_log(run / "log.jsonl")
    page = (
        Environment(autoescape=True)
        .from_string(files("spt_dist").joinpath(TEMPLATE).read_text())
        .render(
            name=run.name,
            against=rows[0]["against"] if rows else "-",
            count=rows[0]["n"] if rows else 0,
            metrics=metrics,
            variants=variants,
            values=values,
            best=_best(rows),
            remarks=remarks,
            grid=_inline((run / "evaluation" / "grid.png").read_bytes()),
            curves=_inline(draw_curves(log)) if log else "",
            config=json.dumps(card["config"], indent=1),
            facts={"images seen": f"{card['images']:,}", "data hash": card["data_hash"][:16], "frame": card["frame"]}
            | card["versions"],
        )
    )
    path = run / "evaluation" / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def read_log(file: Path) -> list[dict[str, Any]]:
    """The reports of a log file; a last line without its end is not one yet."""
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def draw_curves(log: list[dict[str, Any]]) -> bytes:
    """Every term over the images seen, one small plot per network, as PNG; stages in different colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages = list(dict.fromkeys(line["stage"] for line in log))
    names = list(dict.fromkeys(name for line in log for name in line["terms"]))
    columns = 4
    rows = -(-len(names) // columns)
    figure = Figure((3.1 * columns, 2.1 * rows), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        for stage in stages:
            points = [
                (line["all_images"], line["terms"][name])
                for line in log
                if line["stage"] == stage and name in line["terms"]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), color=STAGE_COLOURS[stages.index(stage) % 4], lw=1.4)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _best(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The best variant of each metric that more than one variant has."""
    best = set()
    for metric in {row["metric"] for row in rows}:
        scored = [row for row in rows if row["metric"] == metric]
        if len(scored) > 1:
            choose = max if scored[0]["better"] == "higher" else min
            best.add((choose(scored, key=lambda row: row["value"])["variant"], metric))
    return best


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
