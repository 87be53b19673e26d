"""A plan as tables for the terminal, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from spt_dist.plan.check import WITHIN, Compared
from spt_dist.plan.gpus import CPU
from spt_dist.plan.planner import Plan, ZeroPlan

GB = 1e9
UNMEASURED = (
    "Flops, bytes and memory are counted. What a GPU reaches of its published peaks, its links' latencies and the "
    "spread between ranks are assumed: unmeasured on a GPU."
)


def memory_table(plan: Plan) -> Table:
    """Bytes of one device under each ZeRO stage, at the peak of the phase that needs most."""
    table = Table(
        title=f"memory per device, GB: {plan.ranks} x {plan.device}, {plan.micro_batch} sample(s) each, "
        f"{plan.usable_bytes / GB:.1f} usable"
    )
    heads = ("parameters", "gradients", "buckets", "optimizer", "averages", "activations", "features")
    table.add_column("ZeRO")
    for head in (*heads, "total"):
        table.add_column(head, justify="right")
    for head in ("biggest phase", "fits", "most samples"):
        table.add_column(head)
    for zero in plan.zeros:
        values = asdict(zero.peak)
        table.add_row(
            _zero(plan, zero),
            *(f"{values[head] / GB:.3g}" for head in heads),
            f"{zero.peak.total / GB:.3g}",
            zero.peak.phase,
            "yes" if zero.fits else "no",
            str(zero.largest_micro_batch),
            style="bold" if zero.zero == plan.recommended else None,
        )
    return table


def time_table(plan: Plan, price: float | None) -> Table:
    """Seconds of a step and hours of every stage, under the recommended ZeRO stage; then all of them."""
    zero = plan.chosen
    table = Table(title=f"time: ZeRO {zero.zero}, batch {plan.batch}, {plan.precision}; steps in ms")
    table.add_column("stage")
    heads = ["TFLOP a step", "compute", "communication", "waiting", "input", "step", "images/s", "images", "hours"]
    heads += ["epoch, hours"] if plan.samples else []
    heads += ["GPU-hours" if plan.device != CPU else "core-hours"] + (["cost"] if price is not None else [])
    for head in heads:
        table.add_column(head, justify="right")
    epochs = plan.epoch_hours(zero)
    for stage in zero.stages:
        times = stage.seconds
        parts = (times.compute, times.communication, times.waiting, times.input, times.total)
        table.add_row(
            stage.stage,
            f"{stage.flops / 1e12:.3g}",
            *(f"{1e3 * part:.3g}" for part in parts),
            f"{stage.images_per_s:.4g}",
            f"{stage.images:,}",
            f"{stage.hours:.3g}",
            *([f"{epochs[stage.stage]:.3g}"] if plan.samples else []),
            *_cost(stage.hours * plan.ranks, price),
        )
    empty = [""] * (len(heads) - 3 - (1 if plan.samples else 0) - (1 if price is not None else 0))
    epoch = [""] if plan.samples else []
    images = f"{sum(stage.images for stage in zero.stages):,}"
    table.add_section()
    table.add_row("curriculum", *empty, images, f"{zero.hours:.3g}", *epoch, *_cost(zero.hours * plan.ranks, price))
    return table


def zero_table(plan: Plan) -> Table:
    """What each ZeRO stage costs: a step of every stage of the curriculum, the whole of it, a checkpoint."""
    table = Table(title="by ZeRO stage: ms a step (of these, communication)")
    table.add_column("ZeRO")
    for stage in plan.zeros[0].stages:
        table.add_column(stage.stage, justify="right")
    for head in ("curriculum, hours", "checkpoint, GB"):
        table.add_column(head, justify="right")
    for zero in plan.zeros:
        table.add_row(
            _zero(plan, zero),
            *(f"{1e3 * s.seconds.total:.3g} ({1e3 * s.seconds.communication:.3g})" for s in zero.stages),
            f"{zero.hours:.3g}",
            f"{zero.checkpoint_bytes / GB:.3g}",
            style="bold" if zero.zero == plan.recommended else None,
        )
    return table


def advice(plan: Plan) -> str:
    """The recommendation in words."""
    if plan.recommended is None:
        least = min(zero.peak.total for zero in plan.zeros)
        return (
            f"Nothing fits: a device needs {least / GB:.1f} GB and has {plan.usable_bytes / GB:.1f}. "
            "Lower `data.batch`, raise `train.accumulate`, take more devices or larger ones."
        )
    most = plan.zeros[plan.recommended].largest_micro_batch
    enough = plan.recommended_micro_batch
    return (
        f"Recommended: train.zero_stage = {plan.recommended}. At most {most} samples fit on a device (data.batch = "
        f"{most * plan.ranks}); {enough} reach nearly the same pace (data.batch = {enough * plan.ranks}). "
        "A larger batch is another training: its learning rates are yours to find."
    )


def in_short(plan: Plan, zero: int) -> str:
    """What the run needs under a ZeRO stage, in one line: a configuration's head quotes it."""
    chosen = plan.zeros[zero]
    return (
        f"{plan.ranks} x {plan.device}, ZeRO {zero}: {chosen.peak.total / GB:.3g} GB each, {chosen.hours:.3g} hours, "
        f"{chosen.hours * plan.ranks:.3g} device hours, checkpoints of {chosen.checkpoint_bytes / GB:.3g} GB"
    )


def compared_table(rows: Sequence[Compared]) -> Table:
    """Planned against measured."""
    table = Table(title=f"planned against measured, on this processor (aim: within {WITHIN:.0%})")
    for head in ("", "planned", "measured", "unit", "apart", "aim"):
        table.add_column(head, justify="left" if head in ("", "unit") else "right")
    for row in rows:
        met = "met" if row.met else "missed"
        table.add_row(row.what, f"{row.planned:.4g}", f"{row.measured:.4g}", row.unit, f"{row.apart:+.1%}", met)
    return table


def to_tree(plan: Plan, price: float | None) -> dict[str, Any]:
    """The plan as JSON spells it: bytes, seconds, hours; `cost` where there is a price."""
    tree = asdict(plan)
    for zero, each in zip(plan.zeros, tree["zeros"], strict=True):
        each["peak"]["total"] = zero.peak.total
        each["device_hours"] = zero.hours * plan.ranks
        each["cost"] = None if price is None else zero.hours * plan.ranks * price
        for stage, spelled in zip(zero.stages, each["stages"], strict=True):
            spelled["seconds"]["total"] = stage.seconds.total
    return tree


def _zero(plan: Plan, zero: ZeroPlan) -> str:
    return f"{zero.zero} *" if zero.zero == plan.recommended else str(zero.zero)


def _cost(hours: float, price: float | None) -> list[str]:
    return [f"{hours:.4g}"] + ([f"{hours * price:,.2f}"] if price is not None else [])
