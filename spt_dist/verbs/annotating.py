"""`spt annotate`: keypoints and parsing maps from raw photos."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spt_dist.verbs.importing import say_account
from spt_dist.verbs.shared import PICTURES, Models, app, bar, goes_on, who_works, written


@app.command()
def annotate(
    photos: Annotated[list[Path], typer.Argument(help="A folder of photos, or single ones.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; `spt pack` reads it.")],
    models: Models = "box",
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the photos for validation.")] = 0.0,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the photos for tests.")] = 0.0,
    sheet: Annotated[Path | None, written("Draw what was found in some: .png or .jpg.", endings=PICTURES)] = None,
    launcher: Annotated[
        Literal["local", "ray"], typer.Option(help="`ray`: many processes, worth their start from some hundreds on.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes on Ray.")] = 2,
) -> None:
    """Find the person in each photo, its joints and its parsing map, and write the folder that `spt pack` reads.

    Photos are linked or copied, never recoded. Every photo is accounted for, in annotate.json and dropped.jsonl: broken
    ones and those without a person are dropped by name. train/, val/, test/ or lists of names say the split, and
    identities.csv (name,identity) who it is, as for `spt import folder`. After a break the same command goes on: what
    was found lies in the hidden folder .OUT.annotations until all is written.
    """
    from spt_dist import pictures
    from spt_dist.annotate.choice import open_annotator
    from spt_dist.annotate.folder import Seen, annotate_folder, photo_files
    from spt_dist.annotate.kept import Kept, answers_beside, look_ahead
    from spt_dist.annotate.sheet import MOST, draw_sheet

    seen: list[Seen] = []

    def watch(each: Seen) -> None:
        if len(seen) < MOST:
            seen.append(each)

    files, annotator = photo_files(photos, out, (val, test)), open_annotator(models)
    with goes_on("the same command goes on where it was"), answers_beside(out.absolute()) as folder:
        if launcher == "ray" and files:
            words = str(Path(models).absolute()) if Path(models).exists() else models
            with who_works(launcher, workers) as mapper, bar("annotating") as progress:
                look_ahead(files, words, folder, mapper, progress)
        with bar("annotating" if launcher == "local" else "writing") as progress:
            account = annotate_folder(
                photos, out, Kept(annotator, folder), (val, test), progress, watch if sheet else None
            )
    say_account(account, out)
    if sheet:
        pictures.save(draw_sheet(seen), sheet)
        typer.echo(f"{sheet}: {len(seen)} photos with skeleton and parsing map, by {annotator.name}")
