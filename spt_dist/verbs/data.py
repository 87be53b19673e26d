"""Verbs that make and pack data."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from spt_dist.verbs.shared import Size, app, bar, size_px

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
    with bar("packing") as progress:
        manifest = write_shards(
            samples,
            out,
            size_px(size),
            frame,
            min_joints=min_joints,
            max_rejected=max_rejected,
            total=count_samples(folder),
            progress=progress,
        )
    kept = ", ".join(f"{split.samples} {name}" for name, split in manifest.splits.items())
    rejected = f"; {manifest.rejected} rejected, see {out}/rejected.jsonl" if manifest.rejected else ""
    typer.echo(f"{out}: {kept}{rejected}")
