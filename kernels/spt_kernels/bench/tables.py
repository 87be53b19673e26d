"""Rows as tables, how far they are from their targets, and from what the machine can do."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import torch
from rich.table import Table

from spt_kernels.bench.rows import Row

HEAD = ("op", "pass", "shape", "ours ms", "published ms", "eager ms", "ratio", "target", "extra MB", "of roof")


class Ceilings(NamedTuple):
    """What this device does at best: flops a second in a matrix product, bytes a second in a copy."""

    flops: float
    bytes: float


def ceilings(device: str) -> Ceilings:
    """Measured here: the best of several matrix products and copies, float32."""
    a = torch.randn(2048, 2048, device=device)
    source = torch.randn(2**25, device=device)
    target = torch.empty_like(source)
    product = _best(lambda: a @ a, device)
    copy = _best(lambda: target.copy_(source), device)
    return Ceilings(2 * 2048**3 / product, 2 * source.nbytes / copy)


def roofline(row: Row) -> tuple[float, float]:
    """Flops a byte of the floor, and the floor's flops a second that ours achieves."""
    return row.flops / row.bytes, row.flops / (row.ours / 1e3)


def share_of_roof(row: Row, limits: Ceilings) -> float:
    """The time that the floor takes at the machine's ceilings over ours."""
    return max(row.flops / limits.flops, row.bytes / limits.bytes) / (row.ours / 1e3)


def missed(rows: Iterable[Row]) -> list[str]:
    """A line for each row under its target."""
    return [
        f"{row.name}, {row.passes}, {row.shape}: {row.ratio:.1f}x, target {row.target:g}x: "
        f"{row.target / row.ratio:.2f} times too slow"
        for row in rows
        if row.ratio is not None and row.target is not None and row.ratio < row.target
    ]


def to_table(rows: Iterable[Row], limits: Ceilings) -> Table:
    """For the terminal."""
    rows = list(rows)
    based, compiled = any(row.base for row in rows), any(row.compiled for row in rows)
    extra = (*(("base ms", "base / ours") if based else ()), *(("compiled ms",) if compiled else ()))
    table = Table(title=f"{rows[0].device}, {rows[0].dtype}, medians" if rows else None)
    for column in (*HEAD, *extra):
        table.add_column(column, justify="left" if column in HEAD[:3] else "right", no_wrap=column in HEAD[:2])
    for row in rows:
        cells = [*_cells(row), f"{share_of_roof(row, limits):.0%}"]
        if based:
            cells += [_number(row.base), _number(row.base / row.ours if row.base else None)]
        if compiled:
            cells.append(_number(row.compiled))
        green = row.target is None or row.ratio is None or row.ratio >= row.target
        table.add_row(*cells, style=None if green else "yellow")
    return table


def to_markdown(rows: Iterable[Row]) -> str:
    """For a page: with the device, the versions and the commit that it was measured with."""
    rows = list(rows)
    first, head = rows[0], HEAD[:-1]
    versions = ", ".join(f"{name} {number}" for name, number in first.versions.items())
    lines = [f"{first.device}, {first.dtype}; {versions}; commit {first.commit}; medians", ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * 3}{'--:|' * (len(head) - 3)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def _cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.1f}x"
    target = "" if row.target is None else f"{row.target:g}x"
    times = [_number(value) for value in (row.ours, row.published, row.eager)]
    return [row.name, row.passes, row.shape, *times, ratio, target, f"{row.peak_extra_bytes / 1e6:.1f}"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _best(call, device: str) -> float:
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best
