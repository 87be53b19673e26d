"""`spt plan`: what a training run will need, before it starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spt_dist.verbs.shared import PLOTS, Overrides, app, write, written

if TYPE_CHECKING:
    from rich.console import Console

    from spt_dist.config import Config
    from spt_dist.plan.planner import Plan, Planner


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="A TOML file; `configs/` holds working ones.")],
    gpus: Annotated[int, typer.Option(min=1, help="Devices together.")] = 1,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100-80, a100-40, l40s, l4; cpu: this processor.")] = "h100",
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    price: Annotated[float | None, typer.Option("--price-per-gpu-hour", min=0, help="In any currency.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Of an epoch, where the shards are not here.")] = None,
    json_file: Annotated[Path | None, written("Write the plan.", "--json")] = None,
    plot: Annotated[Path | None, written("Write the scaling curve: .png.", endings=PLOTS)] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare with real steps on this processor.")] = False,
) -> None:
    """Say what a run will need: memory per device, the batch that fits, time, cost, and how it scales."""
    import json

    from rich.console import Console

    from spt_dist.config import load
    from spt_dist.plan import table
    from spt_dist.plan.planner import Planner, device_named

    settings, console = load(config, tuple(overrides)), Console()
    console = Console(width=None if console.is_terminal else 160)
    if check:
        _check(settings, console, json_file)
        return
    planner = Planner(settings, device_named(gpu), say=lambda line: typer.echo(line, err=True))
    made = planner.plan(gpus, samples)
    for each in (table.memory_table(made), table.zero_table(made), table.time_table(made, price)):
        console.print(each)
    console.print(f"As configured: {table.in_short(made, settings.train.zero_stage)}.", soft_wrap=True)
    console.print(table.advice(made), soft_wrap=True)
    console.print(table.UNMEASURED, soft_wrap=True)
    if json_file:
        write(json_file, json.dumps(table.to_tree(made, price), indent=1) + "\n")
    if plot:
        _plot(planner, made, plot)


def _plot(planner: "Planner", made: "Plan", path: Path) -> None:
    """Weak scaling at the config's batch and at the recommended one, strong scaling at both."""
    from spt_dist.plan.curve import draw, strong, weak

    zero = made.chosen.zero
    curves = [weak(planner, zero, made.micro_batch), strong(planner, zero, made.batch)]
    if made.recommended_micro_batch > made.micro_batch:
        curves.insert(1, weak(planner, zero, made.recommended_micro_batch))
        curves.append(strong(planner, zero, made.recommended_micro_batch * made.ranks))
    write(path, draw(curves, made.device))
    for curve in curves:
        typer.echo(f"{curve.name}: " + (f"bends at {curve.bend} devices" if curve.bend else "does not bend"))


def _check(settings: "Config", console: "Console", json_file: Path | None) -> None:
    """Planned against measured, stage by stage."""
    import json
    from dataclasses import asdict

    from spt_dist.plan.calibrate import Cpu
    from spt_dist.plan.check import compare
    from spt_dist.plan.table import compared_table
    from spt_dist.train.phases import STAGES

    typer.echo("measuring this processor", err=True)
    rows = compare(settings, settings.data.batch, list(STAGES), Cpu())
    console.print(compared_table(rows))
    if json_file:
        write(json_file, json.dumps([asdict(row) | {"apart": row.apart} for row in rows], indent=1) + "\n")
