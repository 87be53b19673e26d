"""Verbs that make and pack data."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spt_dist.verbs.shared import PICTURES, Size, app, bar, goes_on, size_px, who_works, written

if TYPE_CHECKING:
    from spt_dist.data.search.people import Settings
    from spt_dist.data.search.run import Mapper

Frame = Literal["person", "whole"]  # `data.frame.FrameRule`, which would bring NumPy in; a test compares the two


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    people: Annotated[int, typer.Option(help="Training people, one picture each.")] = 2000,
    held_out: Annotated[int, typer.Option(help="Further people for validation and for test, two poses each.")] = 100,
    size: Size = "128x64",
    seed: int = 0,
    twins: Annotated[bool, typer.Option(help="A second picture of every training person, split `twin`.")] = False,
) -> None:
    """Draw a folder of synthetic people, with exact parsing maps and keypoints."""
    from spt_dist.data.synthetic import draw_folder

    with bar("drawing people") as progress:
        draw_folder(out, people, size_px(size), seed, held_out, held_out, twins=twins, progress=progress)
    typer.echo(f"{out}: {people} people to learn from, {held_out} to validate, {held_out} to test")


@app.command()
def pack(
    folders: Annotated[
        list[Path],
        typer.Argument(help="One or more, each with img/, parsing/, keypoints.csv, train.txt, val.txt, test.txt."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="The folder of shards to write; or s3://bucket/folder.")],
    size: Size = "256x256",
    frame: Annotated[Frame, typer.Option(help="Cut to the person, or take the whole picture.")] = "person",
    min_joints: Annotated[int, typer.Option(min=0, help="Reject a picture that shows fewer joints.")] = 6,
    max_rejected: Annotated[float, typer.Option(min=0, max=1, help="Stop above this share of rejected ones.")] = 0.2,
    duplicates: Annotated[
        Literal["drop", "keep"], typer.Option(help="Pictures that are there twice; test and val keep theirs.")
    ] = "drop",
    launcher: Annotated[
        Literal["local", "ray"], typer.Option(help="`ray`: many processes, worth its start from some thousands on.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes on Ray.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what a broken-off packing has left.")] = False,
) -> None:
    """Validate the samples of one or more folders and write them as WebDataset shards with a manifest."""
    from spt_dist.data.importers import count_samples, read_rows, splits
    from spt_dist.data.pack import REJECTED, WAVE, pack_rows

    for folder in folders:
        if not splits(folder):
            raise ValueError(
                f"`{folder}` has no train.txt, val.txt or test.txt; `spt annotate {folder} -o people` makes a folder "
                "of it where it holds photos, `spt import` where it holds annotated data"
            )
    rows = chain.from_iterable(read_rows(folder, split) for folder in folders for split in splits(folder))
    how = goes_on("the same command with --resume goes on with the blocks that are finished")
    with how, who_works(launcher, workers) as mapper, bar("packing") as progress:
        manifest = pack_rows(
            rows,
            out,
            size_px(size),
            frame,
            min_joints=min_joints,
            max_rejected=max_rejected,
            duplicates=duplicates,
            total=sum(map(count_samples, folders)),
            progress=progress,
            mapper=mapper,
            wave=WAVE if launcher == "ray" else 1,
            resume=resume,
        )
    kept = ", ".join(f"{split.samples} {name}" for name, split in manifest.splits.items())
    copies = f"; {manifest.duplicates} show a picture that is there already, {manifest.leaks} across splits"
    rejected = f"; {manifest.rejected} rejected, see {out}/{REJECTED}" if manifest.rejected else ""
    typer.echo(f"{out}: {kept}{rejected}{copies if manifest.duplicates else ''}")


@app.command()
def pairs(
    shards: Annotated[Path, typer.Argument(help="The folder of shards.")],
    out: Annotated[Path | None, written("The index to write: pairs.parquet.", "--out", "-o")] = None,
    split: Annotated[str, typer.Option(help="Whose pairs are searched, among its own samples.")] = "train",
    k: Annotated[int, typer.Option("-k", help="Matches per sample.")] = 5,
    keep: Annotated[int, typer.Option(help="Candidates per sample whose criterion is computed.")] = 48,
    pool: Annotated[int, typer.Option(help="Candidates per kind of clothes.")] = 32_768,
    min_pose_distance: Annotated[float, typer.Option(help="Torso lengths squared; below, poses count as equal.")] = 0.1,
    map_height: Annotated[int, typer.Option(help="Rows of the maps that are compared.")] = 32,
    seed: int = 0,
    block: Annotated[int, typer.Option(min=1, help="Samples per block; finished blocks outlive a break.")] = 256,
    launcher: Annotated[Literal["ray", "local"], typer.Option(help="`local`: this process alone.")] = "ray",
    workers: Annotated[int, typer.Option(min=1, help="Processes on Ray.")] = 2,
    check: Annotated[int, typer.Option(min=0, help="Compare with the exhaustive search on so many samples.")] = 0,
    sheet: Annotated[Path | None, written("Draw some pairs: .png or .jpg.", endings=PICTURES)] = None,
) -> None:
    """Find, for every sample, the parsing maps of others that fit best: pseudo labels for H_S (data.pseudo_pairs)."""
    from spt_dist.data.search.people import Settings

    if out is None and not check:
        raise ValueError("nothing to do: name an index with `-o pairs.parquet`, or compare with `--check 100`")
    if sheet is not None and out is None:
        raise ValueError(f"`--sheet {sheet}` draws an index: name it with `-o pairs.parquet`")
    settings = Settings(k, keep, pool, min_pose_distance, map_height, seed)
    with goes_on("the same command goes on where it was"), who_works(launcher, workers) as mapper:
        if out is not None:
            _search(shards, out, settings, split, block, mapper)
        if check:
            _check(shards, check, settings, split, mapper)
    if sheet is not None and out is not None:
        from spt_dist import pictures
        from spt_dist.data.search.sheet import draw_sheet

        pictures.save(draw_sheet(out, shards), sheet)
        typer.echo(f"{sheet}: score and pose distance of each match stand beside its row")


def _search(shards: Path, out: Path, settings: "Settings", split: str, block: int, mapper: "Mapper") -> None:
    from spt_dist.data.search.run import search

    found = search(shards, out, settings, split=split, block=block, mapper=mapper, bars=bar)
    typer.echo(
        f"{out}: {found.pairs} pairs for {found.with_pairs} of {found.samples} samples; "
        f"{found.samples - found.with_pairs} have no admissible candidate"
        + (f"; {found.resumed} samples were searched before" if found.resumed else "")
    )


def _check(shards: Path, count: int, settings: "Settings", split: str, mapper: "Mapper") -> None:
    from spt_dist.data.search.recall import check

    recall = check(shards, count, settings, split, mapper, bar)
    typer.echo(
        f"recovered {recall.recovered:.3f} of the exhaustive search's gain, on {recall.sources} samples with "
        f"{recall.candidates:.0f} candidates each: random {recall.mean:.1f}, best of {settings.keep} kept "
        f"{recall.pruned:.1f}, best of all {recall.exhaustive:.1f} px"
    )
