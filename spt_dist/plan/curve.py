"""How a plan scales: images a second over 1 to 1,000 devices, and where it bends.

Weak scaling keeps every device's micro-batch, so that the batch grows with the devices; strong scaling keeps the batch,
and ends where each device has one sample left.
"""

import io
from typing import Any, NamedTuple

from spt_dist.plan.planner import Planner

MOST = 1000  # devices
BEND = 0.8  # of the pace that as many devices would have without each other
WEAK, STRONG, GREY = "#4c78a8", "#e4812f", "#9aa0aa"
DPI = 110


class Curve(NamedTuple):
    """Images a second by number of devices."""

    name: str
    ranks: list[int]
    pace: list[float]

    @property
    def efficiency(self) -> list[float]:
        """The pace over as many times the first one's."""
        alone = self.pace[0] / self.ranks[0]
        return [pace / ranks / alone for pace, ranks in zip(self.pace, self.ranks, strict=True)]

    @property
    def bend(self) -> int | None:
        """The fewest devices whose efficiency is below `BEND`; None where it never is."""
        pairs = zip(self.ranks, self.efficiency, strict=True)
        return next((ranks for ranks, efficiency in pairs if efficiency < BEND), None)


def weak(planner: Planner, zero: int, micro_batch: int) -> Curve:
    """The batch grows: `micro_batch` samples on each device."""
    ranks = list(range(1, MOST + 1))
    pace = [planner.pace(zero, each, micro_batch) for each in ranks]
    return Curve(f"weak: {micro_batch} sample{'s' * (micro_batch > 1)} a device", ranks, pace)


def strong(planner: Planner, zero: int, batch: int) -> Curve:
    """The batch stays: as many devices as divide it."""
    ranks = [each for each in range(1, min(batch, MOST) + 1) if batch % each == 0]
    pace = [planner.pace(zero, each, batch // each) for each in ranks]
    return Curve(f"strong: batch {batch}", ranks, pace)


def draw(curves: list[Curve], device: str) -> bytes:
    """Pace and efficiency, as PNG; a ring marks each bend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9.6, 3.9), dpi=DPI, layout="constrained")
    pace, efficiency = figure.subplots(1, 2)
    ideal = curves[0].pace[0]
    pace.plot([1, MOST], [ideal, ideal * MOST], color=GREY, lw=1, ls="--", label="as many times one device")
    styles = zip(("-", "--", "-", "--"), (WEAK, WEAK, STRONG, STRONG), strict=True)
    for curve, (line, colour) in zip(curves, styles, strict=False):
        few = {"marker": "o", "ms": 4} if len(curve.ranks) < 40 else {}
        name = curve.name if curve.bend is None else f"{curve.name}; bends at {curve.bend}"
        pace.plot(curve.ranks, curve.pace, color=colour, ls=line, lw=1.6, label=name, **few)
        efficiency.plot(curve.ranks, curve.efficiency, color=colour, ls=line, lw=1.6, **few)
        if curve.bend is not None:
            at = curve.ranks.index(curve.bend)
            for axes, values in ((pace, curve.pace), (efficiency, curve.efficiency)):
                axes.plot(curve.bend, values[at], "o", ms=11, mfc="none", mec=colour, mew=1.6)
    efficiency.axhline(BEND, color=GREY, lw=1, ls="--")
    efficiency.text(1.0, BEND - 0.05, f"efficiency {BEND:.0%}", fontsize=8, color=GREY)
    pace.set_yscale("log")
    efficiency.set_ylim(0, 1.05)
    _label(pace, "images a second, whole curriculum", f"{device}: planned, unmeasured on a GPU")
    _label(efficiency, "efficiency", "pace over that of as many lone devices")
    pace.legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _label(axes: Any, what: str, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("devices")
    axes.set_ylabel(what)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
