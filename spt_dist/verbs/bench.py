"""`spt bench ...`: measure, side by side with the published way."""

import os
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spt_dist.verbs.shared import BOX, app, find_run, size_px

if TYPE_CHECKING:
    from spt_dist.bench_steps_rows import Job, StepRow

CONFIGS = "configs/deepfashion_256.toml,configs/market_128x64.toml"
bench_app = typer.Typer(no_args_is_help=True, help="Measure, side by side with the published way.")
app.add_typer(bench_app, name="bench")


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


StepConfig = Annotated[Path | None, typer.Option("--config", help="A TOML file; the paper's networks without.")]
Side = Annotated[str, typer.Option(help="SIDE or HEIGHTxWIDTH in px.")]
Repeats = Annotated[int, typer.Option(min=1, help="Times each way is timed.")]
Threads = Annotated[int, typer.Option(min=1, help="Of the processor.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the rows.")]
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
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")


@bench_app.command("pairs")
def bench_pairs(
    shards: Annotated[Path | None, typer.Option(help="A folder of shards; 500 drawn people at 128x96 without.")] = None,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
) -> None:
    """Time the pseudo-pair search on few people and say what a million cost."""
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from spt_dist import pictures
    from spt_dist.data.importers import read_folder
    from spt_dist.data.pack import pack
    from spt_dist.data.search.cost import TARGET, draw_curve, measure
    from spt_dist.data.search.people import Settings
    from spt_dist.data.synthetic import draw_folder

    with ExitStack() as stack:
        if shards is None:
            folder, size = Path(stack.enter_context(TemporaryDirectory())), (128, 96)
            draw_folder(folder / "people", 500, size, 0, 0, 0)
            shards = folder / "shards"
            pack(read_folder(folder / "people", "train"), shards, size, "whole")
        curve = measure(shards, Settings(), say=lambda line: typer.echo(line, err=True))
    typer.echo(
        f"{TARGET:,} samples: {curve.seconds(TARGET) / 3600:.1f} core hours and "
        f"{curve.pool_bytes(TARGET) / 1e6:.0f} MB of candidates; exhaustive "
        f"{curve.exhaustive_seconds(TARGET) / 3600:,.0f} core hours"
    )
    if json_file:
        _write_json(json_file, curve.to_tree())
    if plot:
        pictures.save(draw_curve(curve), plot)


@bench_app.command("pack")
def bench_pack(
    folder: Annotated[Path | None, typer.Option("--data", help="Photos; 500 drawn people at 64x48 without.")] = None,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH in px.")] = "64x48",
    pictures: Annotated[list[int], typer.Option(help="How many, by repetition; repeatable.")] = [10_000, 100_000],  # noqa: B006
    price: Annotated[float, typer.Option(min=0, help="Of a core hour.")] = 0.04,
    json_file: JsonFile = None,
) -> None:
    """Pack many pictures by repetition: memory's peak, pace, and what a million cost."""
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from spt_dist.data.packing.cost import TARGET, measure
    from spt_dist.data.synthetic import draw_folder

    if len(set(pictures)) < 2:
        raise ValueError(f"`--pictures` names {pictures}; memory's growth wants two numbers or more")
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory())) / "people"
            draw_folder(folder, 500, size_px(size), 0, 0, 0)
        cost = measure(folder, pictures, size_px(size), price, typer.echo)
    typer.echo(
        f"{TARGET:,} pictures, extrapolated: {cost.core_hours:.2f} core hours, {cost.core_hours * price:.3f} at "
        f"{price} a core hour; {cost.growth_bytes:.0f} bytes of memory for each further picture"
    )
    if json_file:
        _write_json(json_file, {"size": size} | cost.to_tree(), ("numpy", "opencv-python-headless", "pillow"))


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
        _write_json(json_file, {"config": str(file)} | asdict(found))


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
        _write_json(json_file, tree | load, ("torch", "onnxruntime", "openvino"))


@bench_app.command("data")
def bench_data(
    size: Side = "256",
    data: Annotated[Path | None, typer.Option(help="A folder of photos; drawn people without.")] = None,
    shards: Annotated[Path | None, typer.Option(help="A folder of shards, instead.")] = None,
    people: Annotated[int, typer.Option(min=2, help="How many to draw.")] = 512,
    batch: Annotated[int, typer.Option(min=1, help="Of one worker of ours.")] = 16,
    cores: Annotated[int, typer.Option(min=1, help="That everything is kept on.")] = 2,
    workers: Annotated[str, typer.Option(help="Points of the curve.")] = "1,2,4",
    repeats: Repeats = 10,
    configs: Annotated[str, typer.Option(help="Whose steps a GPU is to be fed for.")] = CONFIGS,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
) -> None:
    """Time preparing a sample against the published way, and say how many cores keep an H100 fed."""
    from importlib.util import find_spec

    from rich.console import Console

    from spt_dist import bench_data_rows

    if data is not None and shards is not None:
        raise ValueError("`--data` and `--shards` both say what to read; give one")
    if find_spec("skimage") is None:
        raise ValueError("the published way draws masks with scikit-image, which is missing: pip install scikit-image")
    counts = _counts(workers)
    shape = size_px(size if "x" in size else f"{size}x{size}")
    files = tuple(Path(name) for name in configs.split(",") if name)
    say = partial(typer.echo, err=True)
    tree = bench_data_rows.run(
        bench_data_rows.Job(shape, batch, cores, counts, repeats, data, shards, people, files, say)
    )
    console = Console()
    console = Console(width=None if console.is_terminal else 160)
    for table in bench_data_rows.to_tables(tree):
        console.print(table)
    console.print(bench_data_rows.summary(tree), soft_wrap=True)
    if json_file:
        _write_json(
            json_file, tree, ("torch", "numpy", "pillow", "scikit-image", "opencv-python-headless", "webdataset")
        )
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_bytes(bench_data_rows.draw(tree))


def _counts(text: str) -> tuple[int, ...]:
    """`1,2,4` as numbers of workers."""
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
        if counts[0] < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"`--workers {text}` is not a list of numbers from 1 on, such as 1,2,4") from None
    return counts


def _write_json(file: Path, tree: dict, packages: Sequence[str] = ("torch", "deepspeed")) -> None:
    """Write measured numbers, with what they were measured on."""
    import json
    from importlib.metadata import version

    from spt_kernels.bench.rows import commit

    versions = {name: version(name) for name in packages}
    made_by = {"machine": platform.platform(), "cores": os.cpu_count(), **versions, "commit": commit()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree | {"made_by": made_by}, indent=1) + "\n")
