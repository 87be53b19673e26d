"""The picture: how long pictures took in each scenario, and each one's course with what was done to it."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = 3
PERCENTILES = {"p50": "#9ecae1", "p95": "#4292c6", "p99": "#08519c"}
PACE, REPLICAS, FAULT = "#2171b5", "#e6550d", "#cb181d"


def draw(rows: dict[str, Any], path: Path) -> None:
    """Latencies and batches above, below the course of every scenario."""
    lines = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(5.2 * COLUMNS, 3.4 + 2.7 * lines), layout="constrained", dpi=100)
    grid = figure.add_gridspec(1 + lines, COLUMNS)
    _latencies(figure.add_subplot(grid[0, :-1]), rows)
    _batches(figure.add_subplot(grid[0, -1]), rows)
    for index, (name, row) in enumerate(rows.items()):
        _course(figure.add_subplot(grid[1 + index // COLUMNS, index % COLUMNS]), name, row)
    figure.savefig(path)


def _latencies(axes: Axes, rows: dict[str, Any]) -> None:
    for offset, (percentile, colour) in enumerate(PERCENTILES.items()):
        heights = [row["latency_s"].get(percentile, 0) for row in rows.values()]
        places = [index + 0.27 * (offset - 1) for index in range(len(rows))]
        axes.bar(places, heights, 0.25, color=colour, label=percentile)
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_ylim(0.01, 300)  # room for the legend; first, since a scenario without pictures has no latencies
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(title="how long a picture took", ylabel="s")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=len(PERCENTILES), loc="upper left")


def _batches(axes: Axes, rows: dict[str, Any]) -> None:
    found = rows.get("saturation", {}).get("batches")
    axes.set(title="batches at saturation", xlabel="pictures in a batch, at most", ylabel="batches")
    if found:
        axes.bar([size.removesuffix(".0") for size in found], list(found.values()), color=PACE)
    else:
        axes.text(0.5, 0.5, "missing", transform=axes.transAxes, ha="center")


def _course(axes: Axes, name: str, row: dict[str, Any]) -> None:
    course = row["course"]
    axes.step(course["end_s"], course["pictures_per_s"], color=PACE)
    axes.set(title=f"{name}: {row['failures']} of {row['requests']} failed", xlabel="s")
    axes.set_ylim(0)
    axes.set_ylabel("pictures/s", color=PACE)
    axes.tick_params(axis="y", colors=PACE)
    counts = axes.twinx()
    times = [time for time, _, _ in row["replicas"]]
    counts.step(times, [n for _, n, _ in row["replicas"]], where="post", color=REPLICAS)
    counts.set_ylabel("replicas", color=REPLICAS)
    counts.set_ylim(0, max([2, *(n for _, n, _ in row["replicas"])]) + 0.5)
    counts.set_yticks(range(int(counts.get_ylim()[1]) + 1))
    counts.tick_params(axis="y", colors=REPLICAS)
    for index, (time, words) in enumerate(row["marks"]):
        axes.axvline(time, color=FAULT, linestyle="--")
        axes.text(
            time, 0.05 + 0.1 * index, f" {words}", color=FAULT, fontsize="small", transform=axes.get_xaxis_transform()
        )
    axes.set_xlim(min([-1.0, *(time for time in times if time > -5)]), max([*course["end_s"], *times]))
