"""`spt annotate`: keypoints and parsing maps from raw photos."""

from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.importing import say_account
from spt_dist.verbs.shared import PICTURES, Models, app, bar, written


@app.command()
def annotate(
    photos: Annotated[list[Path], typer.Argument(help="A folder of photos, or single ones.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; `spt pack` reads it.")],
    models: Models = "box",
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the photos for validation.")] = 0.0,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the photos for tests.")] = 0.0,
    sheet: Annotated[Path | None, written("Draw what was found in some: .png or .jpg.", endings=PICTURES)] = None,
) -> None:
    """Find the person in each photo, its joints and its parsing map, and write the folder that `spt pack` reads.

    Photos are linked or copied, never recoded. Every photo is accounted for, in annotate.json and dropped.jsonl: broken
    ones and those without a person are dropped by name. train/, val/, test/ or lists of names say the split, and
    identities.csv (name,identity) who it is, as for `spt import folder`.
    """
    from spt_dist import pictures
    from spt_dist.annotate.choice import open_annotator
    from spt_dist.annotate.folder import Seen, annotate_folder
    from spt_dist.annotate.sheet import MOST, draw_sheet

    seen: list[Seen] = []

    def watch(each: Seen) -> None:
        if sheet and len(seen) < MOST:
            seen.append(each)

    annotator = open_annotator(models)
    with bar("annotating") as progress:
        account = annotate_folder(photos, out, annotator, (val, test), progress, watch)
    say_account(account, out)
    if sheet:
        pictures.save(draw_sheet(seen), sheet)
        typer.echo(f"{sheet}: {len(seen)} photos with skeleton and parsing map, by {annotator.name}")
