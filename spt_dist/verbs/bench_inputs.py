"""`spt bench ...`: what comes before the networks: packing, preparing samples, finding pairs, annotating."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.bench import Repeats, Side, bench_app, write_json
from spt_dist.verbs.shared import PICTURES, JsonFile, Models, Plot, size_px, write, written

CONFIGS = "configs/deepfashion_256.toml,configs/market_128x64.toml"


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
        write_json(json_file, {"size": size} | cost.to_tree(), ("numpy", "opencv-python-headless", "pillow"))


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
    plot: Plot = None,
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
        write_json(
            json_file, tree, ("torch", "numpy", "pillow", "scikit-image", "opencv-python-headless", "webdataset")
        )
    if plot:
        write(plot, bench_data_rows.draw(tree))


def _counts(text: str) -> tuple[int, ...]:
    """`1,2,4` as numbers of workers."""
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
        if counts[0] < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"`--workers {text}` is not a list of numbers from 1 on, such as 1,2,4") from None
    return counts


@bench_app.command("pairs")
def bench_pairs(
    shards: Annotated[Path | None, typer.Option(help="A folder of shards; 500 drawn people at 128x96 without.")] = None,
    json_file: JsonFile = None,
    plot: Plot = None,
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
        write_json(json_file, curve.to_tree())
    if plot:
        pictures.save(draw_curve(curve), plot)


@bench_app.command("annotate")
def bench_annotate(
    folder: Annotated[Path, typer.Argument(help="Photos with img/, parsing/, keypoints.csv, as `spt pack` reads.")],
    split: Annotated[str, typer.Option(help="Whose pictures, by the folder's lists.")] = "test",
    most: Annotated[int | None, typer.Option(min=1, help="The first ones only.")] = None,
    models: Models = "box",
    draw: Annotated[bool, typer.Option(help="Draw people from what is known and from what was found.")] = True,
    sheet: Annotated[Path | None, written("Show the first 24: .png or .jpg.", endings=PICTURES)] = None,
    json_file: JsonFile = None,
) -> None:
    """Score an annotator on photos whose joints and parsing maps are known, from the raw photo on."""
    from rich.console import Console

    from spt_dist import bench_annotate, pictures
    from spt_dist.annotate.choice import open_annotator
    from spt_dist.annotate.folder import Seen
    from spt_dist.annotate.sheet import MOST, draw_sheet
    from spt_dist.infer import Predictor

    annotator = open_annotator(models)
    found = list(bench_annotate.find(annotator, folder, split, most))
    scored = bench_annotate.score_found(found)
    drawn = bench_annotate.draw_found(Predictor.load(), found) if draw else None
    tree = bench_annotate.to_tree(found, scored, drawn, partial(typer.echo, err=True))
    for table in bench_annotate.to_tables(found, scored, drawn):
        Console(width=120).print(table)
    if sheet:
        pictures.save(draw_sheet([Seen(each.sample.image, each.made) for each in found[:MOST]]), sheet)
    if json_file:
        write_json(json_file, {"annotator": annotator.name, "folder": folder.name, "split": split} | tree)
