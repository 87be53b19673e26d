"""What the verbs share: the application that they join, their common arguments, a progress bar."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spt_dist import box

if TYPE_CHECKING:
    from spt_dist.data.search.run import Mapper

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Draw a given person in a new pose, learning from unpaired photos: pack, train, evaluate, generate, serve.",
)

Run = Annotated[Path, typer.Argument(help="The folder of a run, as `spt train` writes it.", show_default=False)]
Model = Annotated[
    Path,
    typer.Argument(
        help=f"The folder of a run, or `{box.NAME}`: the model that comes with the package.",
        parser=lambda words: find_run(str(words)),
        metavar="RUN",
        show_default=False,
    ),
]
BOX = Path(box.NAME)  # as a default
Overrides = Annotated[list[str], typer.Option("--set", help="section.key=value, over the config's own; repeatable.")]
Weights = Annotated[
    Literal["last", "best"], typer.Option(help="The run's last weights, or the best by `train.best_metric`.")
]
Models = Annotated[
    str,
    typer.Option(
        help=f"Who annotates: `{box.NAME}`, the TOML of your ONNX models, or a run's weights.", metavar="TOML"
    ),
]
Size = Annotated[str, typer.Option(help="HEIGHTxWIDTH in px.")]


def written(what: str, *names: str, endings: Sequence[str] = ()) -> Any:
    """An option with the name of a file that long work ends in, which is refused before it where it cannot be."""

    def ready(path: Path | None) -> Path | None:
        if path is None:
            return None
        if endings and path.suffix.lower() not in endings:
            raise ValueError(f"cannot write `{path}`: its name must end in {' or '.join(endings)}")
        if path.is_dir():
            raise ValueError(f"cannot write `{path}`: it is a folder; name a file")
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        if there != path and not there.is_dir():
            raise ValueError(f"cannot write `{path}`: `{there}` is no folder")
        if not os.access(there, os.W_OK):
            raise ValueError(f"cannot write `{path}`: you may not write `{there}`")
        return path

    return typer.Option(*names, help=what, callback=ready)


def write(path: Path, content: str | bytes) -> None:
    """Write what a `written` option names; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


PICTURES, PLOTS = (".png", ".jpg", ".jpeg"), (".png",)
JsonFile = Annotated[Path | None, written("Write the rows.", "--json")]
Plot = Annotated[Path | None, written("Write a picture: .png.", endings=PLOTS)]


def find_run(words: str) -> Path:
    """The folder of a run; of the model that comes with the package for its name."""
    return box.RUN if words == box.NAME else Path(words)


def size_px(text: str, option: str = "--size") -> tuple[int, int]:
    """`64x48` as (height, width) in px; errors name the option that has it."""
    try:
        height, width = (int(side) for side in text.split("x"))
        if min(height, width) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"`{option} {text}` is not HEIGHTxWIDTH in px, such as 128x64") from None
    return height, width


def who_works(launcher: Literal["local", "ray"], workers: int) -> AbstractContextManager["Mapper"]:
    """Who works off tasks: processes on Ray, or this one."""
    if launcher == "ray":
        from spt_dist.data.search.distributed import ray_mapper

        return ray_mapper(workers)
    from spt_dist.data.search.run import here

    return nullcontext(here)


@contextmanager
def goes_on(how: str) -> Iterator[None]:
    """Who interrupts the work is told how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {how}", err=True)
        raise


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar with pace and time left; yields `progress(done, total)`."""
    with bars() as progress:
        yield lambda done, total: progress(what, done, total)


@contextmanager
def bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """As many bars as there is work at a time; yields `progress(what, done, total)`, which any thread may call.

    Into a file go lines instead: one a minute for each, and one at its end.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as shown:
        tasks: dict[str, TaskID] = {}
        said: dict[str, float] = {}

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total, pace="")
            speed = shown.tasks[shown.task_ids.index(tasks[what])].speed
            shown.update(tasks[what], completed=done, total=total, pace=f"{speed:.0f}/s" if speed else "")
            if not console.is_terminal and (done == total or monotonic() - said.setdefault(what, monotonic()) > 60):
                said[what] = inf if done == total else monotonic()
                typer.echo(f"{datetime.now():%H:%M:%S} {what}: {done} of {total}", err=True)

        yield progress
