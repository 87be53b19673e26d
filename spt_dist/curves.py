"""A run's numbers over the images that it has seen, as small plots: a colour per stage of the curriculum."""

import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from spt_dist.config import Stages

STAGE_COLOURS = dict(
    zip((field.name for field in fields(Stages)), ("#4c78a8", "#e4812f", "#3f9b5b", "#a8599c", "#8c6d31"), strict=True)
)
INK, PALE = "#20242c", "#646a76"
COLUMNS, DPI = 4, 150

Log = list[dict[str, Any]]


class Curve(NamedTuple):
    """One plot: its points as (stage, images, value), and the point to mark, if any."""

    name: str
    points: list[tuple[str, int, float]]
    best: tuple[int, float] | None = None


def curves(log: Log, key: str) -> list[Curve]:
    """A curve per name under `key` of the log's lines: `terms` or `scores`."""
    names = dict.fromkeys(name for line in log for name in line[key])
    return [
        Curve(name, [(line["stage"], line["all_images"], line[key][name]) for line in log if name in line[key]])
        for name in names
    ]


def draw_curves(drawn: Sequence[Curve]) -> bytes:
    """A small plot for each curve, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(drawn) // COLUMNS)
    figure = Figure((3.1 * COLUMNS, 2.1 * rows), dpi=DPI, layout="constrained")
    for index, curve in enumerate(drawn):
        _plot(figure.add_subplot(rows, COLUMNS, index + 1), curve)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _plot(axes: Any, curve: Curve) -> None:
    """Each stage's part in its colour; few points are shown as such."""
    before: list[tuple[int, float]] = []
    for stage in dict.fromkeys(stage for stage, _, _ in curve.points):
        own = [(images, value) for at, images, value in curve.points if at == stage]
        few = {"marker": "o", "ms": 3} if len(curve.points) <= 40 else {}
        axes.plot(*zip(*before[-1:], own[0], strict=True), color=STAGE_COLOURS[stage], lw=1.0, alpha=0.35)
        axes.plot(*zip(*own, strict=True), color=STAGE_COLOURS[stage], lw=1.4, **few)
        before = own
    if curve.best is not None:
        axes.plot(*curve.best, marker="o", ms=9, mfc="none", mec=INK, mew=1.2)
        axes.annotate(f"{curve.best[1]:.3f}", curve.best, (0, 8), textcoords="offset points", ha="center", fontsize=8)
        axes.margins(y=0.22)
    axes.set_title(curve.name.replace("_", " "), fontsize=9, color=INK)
    axes.tick_params(labelsize=7, labelcolor=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
