"""Verbs that train and judge a run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spt_dist.verbs.shared import Overrides, Run, app, bar


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="A folder of real photos; synthetic people without one.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the run goes.")] = Path("runs/demo"),
    config: Annotated[Path, typer.Option(help="The run's configuration.")] = Path("configs/demo.toml"),
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
) -> None:
    """The whole chain, small: people, shards, training, evaluation, endpoint, one request."""
    from spt_dist.demo import run_demo

    run_demo(data, out, config, overrides)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file; `configs/` holds working ones.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; runs/CONFIG by default.")] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    launcher: Annotated[Literal["ray", "local"], typer.Option(help="`local`: this process, plain torch.")] = "ray",
) -> None:
    """Train a run: pose detector, H_S, H_A, end to end."""
    from spt_dist.config import load
    from spt_dist.train.launch import train as launch

    run = out or Path("runs") / config.stem
    launch(load(config, tuple(overrides)), run, launcher=launcher, resume=resume)
    typer.echo(f"trained: {run}/weights; next: spt evaluate {run}")


@app.command()
def evaluate(run: Run, overrides: Overrides = []) -> None:  # noqa: B006
    """Score a trained run against baselines and, where there are any, true targets; write grid and report."""
    from spt_dist.config import load_run
    from spt_dist.data.pipeline import read_split
    from spt_dist.evaluation import SPLIT, table
    from spt_dist.evaluation import evaluate as score
    from spt_dist.serve.page import export_gallery

    settings = load_run(run, tuple(overrides))
    with bar("evaluating") as progress:
        rows = score(run, settings, progress)
    export_gallery(run, read_split(settings.data.shards, SPLIT))
    table(rows)
    typer.echo(f"{run}/evaluation: metrics.json, grid.png, report.html")


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint, such as latest_net_G.pth.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of weights to write.")],
    kind: Annotated[Literal["generator", "discriminator", "pose_detector"], typer.Option()] = "generator",
) -> None:
    """Convert a published checkpoint to safetensors."""
    from spt_dist.models.convert import convert as write_weights

    write_weights(checkpoint, kind, out)
    typer.echo(str(out))
