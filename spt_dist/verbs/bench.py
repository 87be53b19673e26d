"""`spt bench ...`: measure, side by side with the published way."""

import os
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spt_dist.verbs.shared import BOX, JsonFile, Plot, app, find_run, size_px, write, written

if TYPE_CHECKING:
    from spt_dist.bench_steps_rows import Job, StepRow

bench_app = typer.Typer(no_args_is_help=True, help="Measure, side by side with the published way.")
app.add_typer(bench_app, name="bench")


@bench_app.command("kernels")
def bench_kernels(
    op: Annotated[str, typer.Argument(help="An op, or `all`; `list` names ops and shapes.")] = "all",
    data: Annotated[Path | None, typer.Option(help="A folder of photos at 256x256 px; drawn people without.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    json_file: JsonFile = None,
    plot: Plot = None,
    markdown: Annotated[Path | None, written("Renew the table in a page.")] = None,
) -> None:
    """Time every kernel op against the published way, on people; `python -m spt_kernels.bench` has more options."""
    from tempfile import TemporaryDirectory

    from spt_kernels.bench.__main__ import main as run_bench
    from spt_kernels.bench.scene import PEOPLE
    from spt_kernels.proof.pages import require_between

    from spt_dist.bench_scene import main as write_scene

    if markdown:
        require_between(markdown, "bench")
    with TemporaryDirectory() as folder:
        scene = PEOPLE
        if data is not None:
            scene = Path(folder) / f"{data.name}.npz"
            write_scene(scene, data)
        run_bench(op, device, scene=scene, json_file=json_file, plot=plot, markdown=markdown)


StepConfig = Annotated[Path | None, typer.Option("--config", help="A TOML file; the paper's networks without.")]
Side = Annotated[str, typer.Option(help="SIDE or HEIGHTxWIDTH in px.")]
Repeats = Annotated[int, typer.Option(min=1, help="Times each way is timed.")]
Threads = Annotated[int, typer.Option(min=1, help="Of the processor.")]
Memory = Annotated[bool, typer.Option(help="Measure memory's peak, in processes of their own.")]


@bench_app.command("train-step")
def bench_train_step(
    size: Side = "256",
    config: StepConfig = None,
    repeats: Repeats = 10,
    threads: Threads = 2,
    memory: Memory = True,
    json_file: JsonFile = None,
) -> None:
    """Time a step of the appearance stage against the published way, batch 1, on the processor."""
    from spt_dist.bench_steps_rows import step_rows

    _report(step_rows(_job(size, config, repeats, threads, memory)), json_file)


@bench_app.command("infer")
def bench_infer(
    size: Side = "256",
    config: StepConfig = None,
    repeats: Repeats = 20,
    threads: Threads = 2,
    memory: Memory = True,
    json_file: JsonFile = None,
) -> None:
    """Time one picture against the published way, one direction and its test path, on the processor."""
    from spt_dist.bench_steps_rows import infer_rows

    _report(infer_rows(_job(size, config, repeats, threads, memory)), json_file)


def _job(size: str, file: Path | None, repeats: int, threads: int, memory: bool) -> "Job":
    """Drawn people at `size` and the networks of `file`, or the paper's with the local enhancer."""
    from dataclasses import replace

    from spt_dist import config
    from spt_dist.bench_steps import drawn_pairs
    from spt_dist.bench_steps_rows import PAPER, Job

    settings = config.load(file) if file else PAPER
    shape = size_px(size if "x" in size else f"{size}x{size}")
    settings = replace(settings, data=replace(settings.data, image_size=shape))
    return Job(settings, drawn_pairs(shape), repeats, threads, memory, say=lambda line: typer.echo(line, err=True))


def _report(rows: "list[StepRow]", json_file: Path | None) -> None:
    import json

    from rich.console import Console

    from spt_dist.bench_steps_rows import to_table

    console = Console()
    Console(width=None if console.is_terminal else 160).print(to_table(rows))
    if json_file:
        write(json_file, json.dumps([row.as_dict() for row in rows], indent=1) + "\n")


@bench_app.command("ranks")
def bench_ranks(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")] = Path("configs/demo.toml"),
    repeats: Repeats = 40,
    saves: Annotated[int, typer.Option(min=1, help="Times that steps are timed with a save, and without.")] = 10,
    json_file: JsonFile = None,
) -> None:
    """Time steps on two ranks, ZeRO beside DistributedDataParallel, what a second rank brings, and what saves cost."""
    from dataclasses import asdict

    from rich.console import Console

    from spt_dist import bench_ranks, config

    found = bench_ranks.measure(config.load(file), repeats, saves)
    console = Console()
    Console(width=None if console.is_terminal else 120).print(bench_ranks.to_table(found))
    if json_file:
        write_json(json_file, {"config": str(file)} | asdict(found))


@bench_app.command("serve")
def bench_serve(
    size: Side = "256",
    config: StepConfig = None,
    repeats: Repeats = 10,
    threads: Threads = 2,
    runtimes: Annotated[str, typer.Option(help="Beside published and ours.")] = "inductor,onnxruntime,openvino",
    run: Annotated[Path, typer.Option(help="The trained generators; the model in the box without.")] = BOX,
    json_file: JsonFile = None,
) -> None:
    """Time one picture by every runtime, the trained model's pace at that size, and what kept sources save."""
    from rich.console import Console

    from spt_dist import bench_serve
    from spt_dist.bench_backends import measure
    from spt_dist.infer import Predictor
    from spt_dist.models.weights import weights_folder

    job, say = _job(size, config, repeats, threads, False), partial(typer.echo, err=True)
    names = tuple(name for name in runtimes.split(",") if name)
    before = os.getloadavg()[0]
    directions = measure(job.settings, repeats, threads, names, say)
    side = job.settings.data.image_size
    predictor = Predictor.load(weights_folder(find_run(str(run)))).at(side)
    pace, share = bench_serve.paces(predictor, repeats), bench_serve.shares(predictor, repeats)
    kept = [bench_serve.cache(predictor.at(each), repeats) for each in ((64, 64), side)]
    tree = bench_serve.to_tree(directions, pace, share, kept, job.settings)
    for table in bench_serve.to_tables(tree):
        Console().print(table)
    if json_file:
        load = {"threads": threads, "repeats": repeats, "load": (before, os.getloadavg()[0])}
        write_json(json_file, tree | load, ("torch", "onnxruntime", "openvino"))


def write_json(file: Path, tree: dict, packages: Sequence[str] = ("torch", "deepspeed")) -> None:
    """Write measured numbers, with what they were measured on."""
    import json
    from importlib.metadata import version

    from spt_kernels.bench.rows import commit

    versions = {name: version(name) for name in packages}
    made_by = {"machine": platform.platform(), "cores": os.cpu_count(), **versions, "commit": commit()}
    write(file, json.dumps(tree | {"made_by": made_by}, indent=1) + "\n")
