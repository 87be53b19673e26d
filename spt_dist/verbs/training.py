"""Verbs that train and judge a run."""

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from spt_dist.verbs.shared import PICTURES, JsonFile, Overrides, Run, Weights, app, bars, written


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
    force: Annotated[bool, typer.Option("--force", help="With --resume: though config, data or code changed.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Write traces of some steps to RUN/profile.")] = False,
    launcher: Annotated[Literal["ray", "local"], typer.Option(help="`local`: this process, plain torch.")] = "ray",
) -> None:
    """Train a run: pose detector, H_S, H_A, end to end. SIGTERM saves and stops; Ctrl-C costs the steps not saved."""
    from spt_dist.config import load

    run = out or Path("runs") / config.stem
    settings = load(config, tuple(overrides))  # a mistake in it is said before torch is imported
    from spt_dist.train.launch import train as launch

    if launch(settings, run, launcher=launcher, resume=resume, force=force, profile=profile):
        typer.echo(f"trained: {run}/weights; next: spt evaluate {run}")
    else:
        given = ["spt", "train", str(config), "-o", str(run), *(word for each in overrides for word in ("--set", each))]
        typer.echo(f"stopped as asked, all is saved; next: {shlex.join(given)} --resume")


@app.command()
def evaluate(
    run: Run,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    weights: Weights = "last",
    protocol: Annotated[
        list[str],
        typer.Option(help="Also by a lineage's definitions: spt, defgan, patn, gfla, cfld, clean or all; repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    pairs: Annotated[
        Path | None, typer.Option(help="Pairs to score, `from,to`: the benchmark's own, in FOLDER/pairs-test.csv.")
    ] = None,
) -> None:
    """Score a trained run against baselines and, where there are any, true targets; write grid and report."""
    from spt_dist.config import load_run
    from spt_dist.data.pipeline import read_split
    from spt_dist.evaluation import OUTPUT, SPLIT, table
    from spt_dist.evaluation import evaluate as score
    from spt_dist.held_out import GENERATED
    from spt_dist.protocols.scoring import show
    from spt_dist.serve.page import export_gallery

    settings = load_run(run, tuple(overrides))
    with bars() as progress:
        drawn, resampled = partial(progress, "evaluating"), partial(progress, "resampling for intervals")
        found = score(run, settings, drawn, weights, protocol, pairs, resampled)
    export_gallery(run, read_split(settings.data.shards, SPLIT))
    table(found.rows)
    if protocol:
        show(found.by_protocol, GENERATED)
    typer.echo(f"{run}/{OUTPUT[weights]}: metrics.json, failures.json, grid.png, report.html")


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


@app.command()
def ablation(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where people, runs and judges go.")] = Path("runs/ablation"),
    images: Annotated[int, typer.Option(min=8, help="H_A's training images, the same for every run.")] = 4_000,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant.")] = 2,
    only: Annotated[str, typer.Option(help="Runs to train, separated by commas; all by default.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one core each.")] = 2,
    split: Annotated[Literal["val", "test"], typer.Option(help="Choices are made on `val`.")] = "test",
    pairs: Annotated[int, typer.Option(min=2, help="Pairs to score.")] = 500,
    features: Annotated[str, typer.Option(help="VGG16's first convolutions (.npz); random ones without.")] = "",
    json_file: JsonFile = None,
    plot: Annotated[Path | None, written("Write a picture.", endings=PICTURES)] = None,
    markdown: Annotated[Path | None, typer.Option(help="Renew the table in a page.")] = None,
) -> None:
    """The paper's ablations, references, ceilings and our own preset; goes on where it was broken off."""
    from spt_dist.ablation.run import Plan, run_ablation

    chosen = tuple(name.strip() for name in only.split(",") if name.strip())
    plan = Plan.of(out, images, range(seeds), chosen, jobs, features)
    with bars() as progress:
        run_ablation(plan, split, pairs, progress, json_file, plot, markdown)
    typer.echo(f"{out}: {len(plan.runs)} runs with {seeds} seed(s); rows in {json_file or plan.rows(split)}")
