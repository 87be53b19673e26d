"""`spt import`: foreign data sets become the project's own folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spt_dist.verbs.shared import app, bar, size_px

if TYPE_CHECKING:
    from spt_dist.data.sources.account import Account

# The keys of `layouts.KINDS`, `orders.ORDERS` and `merges.MERGES`, which would bring NumPy in; a test compares them.
Kind = Literal["folder", "deepfashion", "market", "ccp", "poses"]
Order = Literal["spt", "drawn", "openpose-18", "openpose-25", "coco-17", "mediapipe-33"]
Labels = Literal["spt", "lip-20", "cihp-20", "atr-18", "ccp-59"]


@app.command(name="import")
def import_source(
    kind: Annotated[Kind, typer.Argument(help="What the source is; the layouts are above.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="Its folder; for `poses` a file, too.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; `spt pack` reads it.")],
    keypoints: Annotated[
        list[Path],
        typer.Option(help="Instead of the layout's: .csv, .json, or a folder of OpenPose's JSON; repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    order: Annotated[
        Order, typer.Option(help="Of the joints in .csv and .json; OpenPose and COCO say theirs.")
    ] = "spt",
    keypoints_size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the pictures that the keypoints are for, if not the photos'.")
    ] = None,
    parsing: Annotated[
        Path | None, typer.Option(help="The folder of parsing maps: STEM.png, .npy or .mat for each photo.")
    ] = None,
    labels: Annotated[Labels, typer.Option(help="Whose classes the parsing maps hold; merged to our ten.")] = "spt",
    pairs: Annotated[list[Path], typer.Option(help="Instead of the layout's pair lists; repeatable.")] = [],  # noqa: B006
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the training people for validation.")] = 0.0,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the training people for tests.")] = 0.0,
) -> None:
    """Bring photos, keypoints and parsing maps of others into the folder that `spt pack` reads.

    folder: photos anywhere below SOURCE (or its img/); train/, val/, test/ or lists train.txt, val.txt, test.txt say
    the split, identities.csv (name,identity) who it is.

    deepfashion: img/WOMEN/Shorts/id_00000748/01_2_side.jpg as downloaded, or train/ and test/ flattened; beside them
    {fasion,fashion}[-resize]-{annotation,pairs}-{train,test}.csv.

    market: bounding_box_train/, bounding_box_test/, query/, or train/ and test/; market-{annotation,pairs}-*.csv.

    ccp: photos/ and annotations/*.mat of clothing-co-parsing; it needs --keypoints.

    poses: a keypoint file, or a folder of annotation files or of OpenPose's JSON, no photos; gives a keypoints.csv.

    Photos are linked or copied, never recoded. Every row is accounted for, in import.json and dropped.jsonl. People who
    are in two splits stop the import.
    """
    from spt_dist.data.sources.job import Job
    from spt_dist.data.sources.run import run

    frame = size_px(keypoints_size, "--keypoints-size") if keypoints_size else None
    job = Job(kind, source, tuple(keypoints), tuple(pairs), order, frame, parsing, labels, val, test)
    with bar("importing") as progress:
        account = run(job, out, progress)
    say_account(account, out)


def say_account(account: "Account", out: Path) -> None:
    """Print what became of the rows."""
    splits = ", ".join(f"{count:,} {split}" for split, count in account.splits.items())
    typer.echo(f"{out}: {account.in_short()} ({splits})")
    for note, count in account.notes.items():
        if count:
            typer.echo(f"  {count:,} {note}")
    if account.dropped:
        typer.echo(f"  each dropped row, with its reason: {out}/dropped.jsonl")
