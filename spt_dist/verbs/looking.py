"""Verbs that look at data."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.shared import app, bars, write, written

data = typer.Typer(no_args_is_help=True, help="Look at packed data before a run is trained on it.")
app.add_typer(data, name="data")


@data.callback()
def _group() -> None:
    """Keeps `report` a word of its own while it is the only one."""


@data.command()
def report(
    shards: Annotated[Path, typer.Argument(help="The folder of shards.", show_default=False)],
    out: Annotated[Path, written("The page to write.", "--out", "-o")] = Path("report.html"),
    source: Annotated[
        list[Path],
        typer.Option(help="A folder that was packed: its identities, dropped rows, rejected photos; repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    most: Annotated[int, typer.Option(min=1, help="Look at so many samples; of more, a seeded draw.")] = 20_000,
    seed: int = 0,
    json_file: Annotated[Path | None, written("Write the numbers behind the page.", "--json")] = None,
) -> None:
    """Show what is in shards, as one HTML page: samples, labels, joints, poses, rejects, copies, overlap of splits."""
    from spt_dist.data_report.looking import look
    from spt_dist.data_report.page import write_page

    with bars() as progress:
        found = look(shards, source, most, seed, progress)
        write_page(found, shards.resolve().name, source, out)
    if json_file:
        write(json_file, json.dumps(found.tree, indent=1) + "\n")
    for advice in found.tree["advice"]:
        if advice["level"] != "note":
            typer.echo(f"{advice['level']}: {advice['text']}")
    typer.echo(f"{out}: {found.tree['looked_at']:,} of {found.tree['samples']:,} samples")
