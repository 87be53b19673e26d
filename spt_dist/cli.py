"""`spt VERB ...`: parses, dispatches, prints errors. Importing it costs no torch; each verb imports what it needs."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Draw a given person in a new pose, learning from unpaired photos: pack, train, evaluate, generate, serve.",
)
bench_app = typer.Typer(no_args_is_help=True, help="Measure, side by side with the published way.")
app.add_typer(bench_app, name="bench")

Run = Annotated[Path, typer.Argument(help="The folder of a run, as `spt train` writes it.", show_default=False)]
Overrides = Annotated[list[str], typer.Option("--set", help="section.key=value, over the config's own; repeatable.")]
Size = Annotated[str, typer.Option(help="HEIGHTxWIDTH in px.")]
Frame = Literal["person", "whole"]  # `data.frame.FrameRule`, which would bring NumPy in; a test compares the two


def main() -> None:
    """The console script: a user's mistake is one line, without a traceback (SPT_TRACEBACK=1 shows it)."""
    warnings.showwarning = _warn
    try:
        app()
    except (ValueError, ArithmeticError, OSError, RuntimeError) as error:
        if os.environ.get("SPT_TRACEBACK"):
            raise
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2)


def _warn(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Our own warnings as one line; those of libraries are for us, not for users."""
    if category is UserWarning:
        typer.secho(f"warning: {message}", fg="yellow", err=True)


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
def draw(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    people: Annotated[int, typer.Option(help="Training people, one picture each.")] = 2000,
    held_out: Annotated[int, typer.Option(help="Further people for validation and for test, two poses each.")] = 100,
    size: Size = "128x64",
    seed: int = 0,
) -> None:
    """Draw a folder of synthetic people, with exact parsing maps and keypoints."""
    from spt_dist.data.synthetic import draw_folder

    with _bar("drawing people") as progress:
        draw_folder(out, people, _size(size), seed, held_out, held_out, progress=progress)
    typer.echo(f"{out}: {people} people to learn from, {held_out} to validate, {held_out} to test")


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="img/, parsing/, keypoints.csv, train.txt, val.txt, test.txt.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of shards to write.")],
    size: Size = "256x256",
    frame: Annotated[Frame, typer.Option(help="Cut to the person, or take the whole picture.")] = "person",
    min_joints: Annotated[int, typer.Option(min=0, help="Reject a picture that shows fewer joints.")] = 6,
    max_rejected: Annotated[float, typer.Option(min=0, max=1, help="Stop above this share of rejected ones.")] = 0.2,
) -> None:
    """Validate a folder's samples and write them as WebDataset shards with a manifest."""
    from spt_dist.data.importers import count_samples, read_folder, splits
    from spt_dist.data.pack import pack as write_shards

    samples = chain.from_iterable(read_folder(folder, split) for split in splits(folder))
    with _bar("packing") as progress:
        manifest = write_shards(
            samples,
            out,
            _size(size),
            frame,
            min_joints=min_joints,
            max_rejected=max_rejected,
            total=count_samples(folder),
            progress=progress,
        )
    kept = ", ".join(f"{split.samples} {name}" for name, split in manifest.splits.items())
    rejected = f"; {manifest.rejected} rejected, see {out}/rejected.jsonl" if manifest.rejected else ""
    typer.echo(f"{out}: {kept}{rejected}")


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
    with _bar("evaluating") as progress:
        rows = score(run, settings, progress)
    export_gallery(run, read_split(settings.data.shards, SPLIT))
    table(rows)
    typer.echo(f"{run}/evaluation: metrics.json, grid.png, report.html")


@app.command()
def generate(
    run: Run,
    image: Annotated[Path, typer.Option(help="The source photo.")],
    keypoints: Annotated[str, typer.Option(help="The source's joints: a JSON file, or ANNOTATION.csv:NAME.")],
    parsing: Annotated[Path, typer.Option(help="The source's parsing map: PNG with labels 0 to 9.")],
    pose: Annotated[str, typer.Option(help="The wanted joints: a JSON file, or ANNOTATION.csv:NAME.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("out.png"),
) -> None:
    """Draw one person in one pose."""
    from spt_dist import pictures
    from spt_dist.infer import Predictor, read_keypoints, read_person

    predictor, wanted = Predictor.load(run / "weights"), read_keypoints(pose)
    drawn = predictor.generate(*read_person(image, keypoints, parsing), wanted.joints, wanted.size)
    pictures.save(drawn.image, out)
    typer.echo(str(out))


@app.command()
def serve(run: Run, overrides: Overrides = []) -> None:  # noqa: B006
    """Serve a trained run over HTTP until interrupted."""
    from spt_dist.config import load_run
    from spt_dist.serve.app import run as start

    start(run, load_run(run, tuple(overrides)).serve, blocking=True)


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


@bench_app.command("kernels")
def bench_kernels(
    op: Annotated[str, typer.Argument(help="An op, or `all`; `list` names ops and shapes.")] = "all",
    data: Annotated[Path | None, typer.Option(help="A folder of photos at 256x256 px; drawn people without.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Renew the table in a page.")] = None,
) -> None:
    """Time every kernel op against the published way, on people; `python -m spt_kernels.bench` has more options."""
    from tempfile import TemporaryDirectory

    from spt_kernels.bench.__main__ import main as run_bench
    from spt_kernels.bench.scene import PEOPLE

    from spt_dist.bench_scene import main as write_scene

    with TemporaryDirectory() as folder:
        scene = PEOPLE
        if data is not None:
            scene = Path(folder) / f"{data.name}.npz"
            write_scene(scene, data)
        run_bench(op, device, scene=scene, json_file=json_file, plot=plot, markdown=markdown)


def _size(text: str) -> tuple[int, int]:
    """`64x48` as (height, width) in px."""
    try:
        height, width = (int(side) for side in text.split("x"))
        if min(height, width) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"`--size {text}` is not HEIGHTxWIDTH in px, such as 128x64") from None
    return height, width


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar with pace and time left; yields `progress(done, total)`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=None, pace="")

        def progress(done: int, total: int | None) -> None:
            speed = bars.tasks[0].speed
            bars.update(task, completed=done, total=total, pace=f"{speed:.0f}/s" if speed else "")

        yield progress
