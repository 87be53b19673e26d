"""`python -m tests.load [SCENARIO ...]`: the endpoint under load and faults, on loopback, with a report."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.load import faults, report, scenarios
from tests.load.findings import Findings

SCENARIOS = {
    "saturation": scenarios.saturation,
    "scaling": scenarios.scaling,
    "sleeping": scenarios.sleeping,
    "pressure": scenarios.pressure,
    "deadlines": scenarios.deadlines,
    "models": scenarios.models,
    "update": faults.update,
    "replica": faults.replica,
    "node": faults.node,
    "drain": faults.drain,
}
console = Console(stderr=True)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(SCENARIOS)}; all by default.")] = None,
    json: Annotated[Path, typer.Option(help="What was measured; scenarios that are not run stay.")] = Path(
        "results/load.json"
    ),
    plot: Annotated[Path, typer.Option(help="Its picture.")] = Path("results/load.png"),
    markdown: Annotated[Path, typer.Option(help="Its table.")] = Path("docs/load.md"),
    scale: Annotated[float, typer.Option(help="Of every load's duration; faults need all of it.")] = 1.0,
) -> None:
    """Load the endpoint, break it, and hold what it did against what it promises; status 1 where that is missed."""
    for name in names or ():
        if name not in SCENARIOS:
            raise typer.BadParameter(f"`{name}` is none of {', '.join(SCENARIOS)}")
    passed = True
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(names or SCENARIOS))
        for name in names or SCENARIOS:
            progress.update(task, description=name)
            start = time.monotonic()
            found = SCENARIOS[name](scale)
            report.write(name, found, time.monotonic() - start, json, plot, markdown, order=tuple(SCENARIOS))
            passed &= _say(name, found)
            progress.advance(task)
    sys.exit(0 if passed else 1)


def _say(name: str, found: Findings) -> bool:
    for target in found.targets:
        console.print(f"{report.verdict(target.passed):7} {name}: {target.promise}: {target.measured}", markup=False)
    return all(target.passed for target in found.targets)


if __name__ == "__main__":
    typer.run(main)
