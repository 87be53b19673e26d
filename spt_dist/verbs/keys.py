"""Verbs for the endpoint's API keys."""

from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.shared import app

keys = typer.Typer(no_args_is_help=True, help="API keys of the endpoint: --set serve.keys=FILE.")
app.add_typer(keys, name="keys")

File = Annotated[Path, typer.Argument(help="The key file; `add` makes it.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Whose key it is.", show_default=False)]


@keys.command()
def add(
    file: File,
    name: Name,
    per_minute: Annotated[int, typer.Option(min=0, help="Pictures a minute; 0 is no limit.")] = 0,
    per_day: Annotated[int, typer.Option(min=0, help="Pictures a day; 0 is no limit.")] = 0,
) -> None:
    """Make a key and print it, once: the file holds only its hash."""
    from spt_dist.serve.keys import add_key

    typer.echo(add_key(file, name, per_minute=per_minute, per_day=per_day))


@keys.command("list")
def list_all(file: File) -> None:
    """List the keys of a file."""
    from rich.console import Console
    from rich.table import Table

    from spt_dist.serve.keys import KeyFile

    table = Table("name", "a minute", "a day", "made")
    for key in KeyFile.read(file).keys:
        table.add_row(key.name, str(key.per_minute or "-"), str(key.per_day or "-"), f"{key.created:%Y-%m-%d %H:%M}")
    Console().print(table)


@keys.command()
def revoke(file: File, name: Name) -> None:
    """Take a key away; an endpoint that runs refuses it from then on."""
    from spt_dist.serve.keys import revoke_key

    revoke_key(file, name)
    typer.echo(f"{name} is revoked")
