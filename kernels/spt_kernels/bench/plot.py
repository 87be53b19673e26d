"""The rows as a picture: how much faster than published, and how near to what the machine can do."""

from pathlib import Path

import matplotlib
import numpy as np

from spt_kernels.bench.rows import Row
from spt_kernels.bench.tables import Ceilings

COLOURS = {"semantic_style_loss": "#3b6fb6", "part_warp": "#d1495b", "pose_maps": "#3a8d5d", "norm_act": "#8a6fb0"}
MARKERS = {"forward": "o", "forward + backward": "s"}
GREY = "#777777"


def draw(points: list[tuple[Row, float, float]], limits: Ceilings, path: Path) -> None:
    """Write the picture of rows with their flops a byte and flops a second."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        height = max(4.2, 1.2 + 0.3 * len(points))
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, height), width_ratios=(1.15, 1), layout="constrained")
        _ratios(left, [row for row, _, _ in points])
        _roofline(right, points, limits)
        first = points[0][0]
        figure.suptitle(f"{first.device}, {first.dtype}, torch {first.versions['torch']}, commit {first.commit}")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _ratios(axes, rows: list[Row]) -> None:
    """A bar per row; a line where its target is."""
    timed = [row for row in rows if row.ratio is not None]
    places = np.arange(len(timed))
    ratios = np.array([row.ratio for row in timed])
    axes.barh(places, ratios, height=0.7, color=[COLOURS[row.name] for row in timed])
    for place, row, ratio in zip(places, timed, ratios, strict=True):
        axes.annotate(f"{ratio:.1f}x", (ratio, place), (4, 0), textcoords="offset points", va="center")
        if row.target is not None:
            axes.plot([row.target] * 2, [place - 0.45, place + 0.45], color="black", linewidth=1.6)
    axes.plot([], [], color="black", linewidth=1.6, label="target")
    axes.set_yticks(places, [f"{row.name}, {row.passes}\n{row.shape.split(',')[0]}" for row in timed], fontsize=7.5)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, ratios.min() * 0.8) if len(timed) else 0.8, ratios.max() * 1.8 if len(timed) else 10)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel("times faster than the published way")
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.legend(loc="lower right", frameon=False)


def _roofline(axes, points: list[tuple[Row, float, float]], limits: Ceilings) -> None:
    """The floor's arithmetic over its bytes against what is achieved, under the machine's two ceilings."""
    intensities = np.array([intensity for _, intensity, _ in points])
    span = np.geomspace(min(intensities.min(), 0.3) / 2, max(intensities.max(), limits.flops / limits.bytes) * 4, 200)
    axes.plot(span, np.minimum(limits.flops, span * limits.bytes) / 1e9, color="black", linewidth=1.4)
    for row, intensity, achieved in points:
        axes.scatter(intensity, achieved / 1e9, color=COLOURS[row.name], marker=MARKERS[row.passes], s=34, linewidths=0)
    for name in dict.fromkeys(row.name for row, _, _ in points):
        axes.scatter([], [], color=COLOURS[name], label=name, s=34)
    for passes, marker in MARKERS.items():
        axes.scatter([], [], color=GREY, marker=marker, label=passes, s=34)
    ridge = limits.flops / limits.bytes
    middle = (span[0] * ridge) ** 0.5
    for text, x, above in (
        (f"copy: {limits.bytes / 1e9:.0f} GB/s ", middle, "right"),
        (f"matrix product: {limits.flops / 1e9:.0f} Gflop/s", ridge, "left"),
    ):
        place = (x, min(limits.flops, x * limits.bytes) / 1e9)
        axes.annotate(text, place, (0, 6), textcoords="offset points", ha=above)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("the floor's flops per byte")
    axes.set_ylabel("the floor's Gflop/s that ours achieves")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
