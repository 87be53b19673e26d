"""`python -m spt_kernels.proof.cubins`: what every kernel compiles to, for GPUs that need not be there.

Compiles the launches that training makes and fails when one does not build, spills registers, needs more shared memory
than its target has, multiplies without matrix units, or loads fewer than 16 bytes at once where the layout allows them.
"""

import json
import multiprocessing
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Annotated

import triton
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from triton import knobs

from spt_kernels.proof.binaries import Report, report
from spt_kernels.proof.launches import CASES, DTYPES, TARGETS, launches
from spt_kernels.proof.pages import replace_between

COLUMNS = ("registers", "spills", "shared", "instructions", "matrix units", "16-byte loads")


def main(
    ops: Annotated[list[str] | None, typer.Argument(metavar="OP...", help="all where none is named")] = None,
    target: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(TARGETS)}; may be repeated")] = None,
    dtype: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(DTYPES)}; may be repeated")] = None,
    largest: Annotated[bool, typer.Option(help="only each op's first shape, channels-last")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write every binary's figures")] = None,
    markdown: Annotated[Path | None, typer.Option(help="renew the table between `<!-- cubins -->` markers")] = None,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
) -> None:
    """Compile the launches of OPs, print their figures, and exit with 1 when a check fails."""
    console = Console(stderr=True)
    ops, targets, dtypes = ops or list(CASES), target or list(TARGETS), dtype or list(DTYPES)
    for named, known, what in ((ops, CASES, "op"), (targets, TARGETS, "--target"), (dtypes, DTYPES, "--dtype")):
        for name in set(named) - set(known):
            _stop(console, f"{what} `{name}` is unknown; use one of {', '.join(known)}")
    if knobs.runtime.interpret:
        _stop(console, "TRITON_INTERPRET is set, so kernels are interpreted and not compiled; unset it")
    todo = launches(ops, targets, dtypes, largest)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        reports = list(track(pool.map(report, todo), "compiling", len(todo), console=console, transient=True))
    reports.sort(key=lambda row: (row.op, row.kernel, list(TARGETS).index(row.target), row.dtype))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps([row._asdict() for row in reports], indent=1) + "\n")
    if markdown:
        try:
            replace_between(markdown, "cubins", to_markdown(reports))
        except (OSError, ValueError) as error:
            _stop(console, str(error))
    Console(width=None if sys.stdout.isatty() else 140).print(_table(reports))
    faulty = [row for row in reports if row.faults]
    for row in faulty:
        console.print(f"{row.kernel} {row.dtype} {row.target} {row.layout}: {'; '.join(row.faults)}", style="red")
    console.print(f"{len(reports)} binaries, {len(faulty)} with faults")
    raise typer.Exit(bool(faulty))


def summary(reports: Iterable[Report]) -> list[tuple[str, ...]]:
    """A row per kernel, type and target; a range where shapes and layouts differ."""
    rows = []
    for named, group in groupby(
        reports, key=lambda row: (row.kernel.strip("_").removesuffix("_kernel"), row.dtype, row.target)
    ):
        figures = zip(*(row[5:11] for row in group), strict=True)
        rows.append((*named, *(str(low) if low == high else f"{low}-{high}" for low, high in map(_ends, figures))))
    return rows


def to_markdown(reports: Iterable[Report]) -> str:
    """The table of `summary`, with the versions that made it."""
    head = ("kernel", "type", "target", *COLUMNS)
    lines = [f"triton {triton.__version__}; `python -m spt_kernels.proof.cubins --markdown kernels/README.md`", ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * 3}{'--:|' * len(COLUMNS)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in summary(reports))])


def _table(reports: Iterable[Report]) -> Table:
    table = Table("kernel", "type", "target")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in summary(reports):
        table.add_row(*row)
    return table


def _ends(values: Iterable[int]) -> tuple[int, int]:
    values = tuple(values)
    return min(values), max(values)


def _stop(console: Console, message: str) -> None:
    console.print(message, style="red")
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
