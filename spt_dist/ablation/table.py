"""The benchmark's rows as people read them: a table in Markdown, and a picture of the same people by every variant."""

import statistics
from typing import Any

import numpy as np

from spt_dist import pictures
from spt_dist.ablation import drawing
from spt_dist.ablation.scores import (
    ALL,
    COLOUR,
    CONTRAST,
    DEFINITIONS,
    L1,
    MASKED_SSIM,
    PARSING,
    POSE,
    REPARSED,
    SSIM_INSIDE,
    STRATA,
    TEXTURE,
)  # fmt: skip
from spt_dist.ablation.variants import FLAT_ROWS, ROWS

COLUMNS = (MASKED_SSIM, SSIM_INSIDE, L1, COLOUR, TEXTURE, CONTRAST, REPARSED, POSE, PARSING)
_OURS = next(row for row in ROWS if row.title == "Ours")
VARIANTS = (
    drawing.COPIED, drawing.WARPED, drawing.ANOTHER, *FLAT_ROWS.values(), drawing.FLAT_TRUE,
    *dict.fromkeys(row.title for row in ROWS), drawing.REAL,
)  # fmt: skip
PICTURED = (
    drawing.COPIED, FLAT_ROWS[_OURS], "Baseline, no parsing", "TS-Pred", "E2E", "Paired, the paper's networks", "Ours",
    "Paired, our networks",
)  # fmt: skip
ROWS_PER_STRATUM = 2
PLACE = "ablation"  # of the table in a page


def markdown(rows: list[dict[str, Any]]) -> str:
    """Every variant over all pairs, then by view, folded: means over seeds, and half the extreme ones' distance."""
    seeds = sorted({row["seed"] for row in rows if row["seed"] is not None})
    lines = [
        "| | images | CPU s | " + " | ".join(f"{name} {_arrow(name)}" for name in COLUMNS) + " |",
        "|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    for variant in _present(rows):
        cells = [_spread(_values(rows, variant, ALL, metric)) for metric in COLUMNS]
        cost = [statistics.mean(_cost(rows, variant, key)) for key in ("images", "cpu_seconds")]
        lines.append(f"| {variant} | {cost[0]:,.0f} | {cost[1]:.0f} | " + " | ".join(cells) + " |")
    lines += ["", f"<details><summary>By view, {SSIM_INSIDE} / {L1}</summary>", ""]
    lines += ["| | " + " | ".join(STRATA[1:]) + " |", "|---|" + "---|" * (len(STRATA) - 1)]
    for variant in _present(rows):
        cells = []
        for stratum in STRATA[1:]:
            both = [_values(rows, variant, stratum, metric) for metric in (SSIM_INSIDE, L1)]
            cells.append(" / ".join(_spread(values) for values in both))
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    lines += ["", "</details>", ""]
    lines += [f"Seeds {', '.join(map(str, seeds))}; ± is half the distance between the extreme seeds."]
    lines += [f"*{name}*: {DEFINITIONS[name].words}." for name in COLUMNS]
    return "\n".join(lines)


def picture(test: drawing.Test, columns: dict[str, drawing.Shown], strata: list[str]) -> np.ndarray:
    """The first pairs of each stratum, a row each: source, wanted pose, what every variant draws, the truth."""
    size = (test.source.labels.shape[1], test.source.labels.shape[2])
    height = pictures.cell_height(size)
    rows, names = [], []
    for stratum in STRATA[1:]:
        for index in [slot for slot, each in enumerate(strata) if each == stratum][:ROWS_PER_STRATUM]:
            pose = pictures.skeleton_picture(test.target.joints[index].numpy(), size, height=height)
            drawn = [shown.images[index].numpy() for shown in columns.values()]
            rows.append([test.source.images[index].numpy(), pose, *drawn, test.target.images[index].numpy()])
            names.append(stratum)
    return pictures.grid(rows, ["source", "target pose", *columns, "true target"], names)


def _present(rows: list[dict[str, Any]]) -> list[str]:
    found = {row["variant"] for row in rows}
    return [variant for variant in VARIANTS if variant in found]


def _values(rows: list[dict[str, Any]], variant: str, stratum: str, metric: str) -> list[float]:
    wanted = (variant, stratum, metric)
    return [row["value"] for row in rows if (row["variant"], row["stratum"], row["metric"]) == wanted]


def _cost(rows: list[dict[str, Any]], variant: str, key: str) -> list[float]:
    return [row[key] for row in rows if row["variant"] == variant]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    digits = 1 if max(values) >= 10 else 3
    middle = f"{statistics.mean(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ± {(max(values) - min(values)) / 2:.{digits}f}"


def _arrow(metric: str) -> str:
    return {1: "↑", -1: "↓", 0: "→ 1"}[DEFINITIONS[metric].better]
