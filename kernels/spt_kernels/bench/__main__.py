"""`python -m spt_kernels.bench OP`: an op against its definition and the published way, at training's shapes."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NoReturn

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from spt_kernels.bench.base import BaseError, revision, timers
from spt_kernels.bench.cases import CASES
from spt_kernels.bench.rows import RedError, Row, measure
from spt_kernels.bench.scene import PEOPLE
from spt_kernels.bench.shapes import SHAPES
from spt_kernels.bench.tables import ceilings, missed, roofline, to_markdown, to_table
from spt_kernels.memory import keep_memory
from spt_kernels.proof.pages import replace_between

ERRORS = Console(stderr=True)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main(
    op: Annotated[str, typer.Argument(help=f"{', '.join(CASES)}; `all`; `list` names the shapes")],
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    shape: Annotated[str | None, typer.Option(help="one of the op's shapes; all where none is named")] = None,
    dtype: Annotated[str, typer.Option(help=f"{', '.join(DTYPES)}")] = "float32",
    scene: Annotated[Path, typer.Option(help="people to run on; see spt_dist.bench_scene")] = PEOPLE,
    base: Annotated[str | None, typer.Option(help="a git revision whose op is timed in turn with ours")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="times each spelling is timed")] = 20,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the rows")] = None,
    plot: Annotated[Path | None, typer.Option(help="write a picture")] = None,
    markdown: Annotated[Path | None, typer.Option(help="renew the table between `<!-- bench -->` markers")] = None,
) -> None:
    """Time OP and print a row per shape and pass. An op that differs from its definition is refused."""
    if op == "list":
        _list()
        return
    todo = _todo(op, shape)
    if device not in ("cpu", "cuda") or dtype not in DTYPES:
        _stop(f"`--device {device} --dtype {dtype}`: use cpu or cuda, and one of {', '.join(DTYPES)}")
    if device == "cuda" and not torch.cuda.is_available():
        _stop("`--device cuda`: there is no CUDA device here, so nothing is measured; use --device cpu")
    if device == "cpu" and dtype != "float32":
        _stop(f"`--dtype {dtype}`: processors are timed in float32; use --device cuda")
    torch.set_num_threads(threads)
    keep_memory()
    rows = _measure(todo, scene, device, DTYPES[dtype], rounds, base)
    limits = ceilings(device)
    Console(width=None if ERRORS.is_terminal else 140).print(to_table(rows, limits))
    for line in missed(rows):
        ERRORS.print(line, style="yellow")
    if json_file:
        _written(json_file, lambda: json_file.write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n"))
    if markdown:
        _written(markdown, lambda: replace_between(markdown, "bench", to_markdown(rows)))
    if plot:
        from spt_kernels.bench.plot import draw

        points = [(row, *roofline(row)) for row in rows]
        _written(plot, lambda: draw(points, limits, plot))


def _measure(
    todo: list[tuple[str, str]], scene: Path, device: str, dtype: torch.dtype, rounds: int, base: str | None
) -> list[Row]:
    """Every row; ends the program at what cannot be timed."""
    rows: list[Row] = []
    try:
        with ExitStack() as stack:
            progress = stack.enter_context(Progress(console=ERRORS, transient=True))
            other = None
            if base is not None:
                other = stack.enter_context(timers(stack.enter_context(revision(base)), device))
            bar = progress.add_task("", total=len(todo))
            for op, name in todo:
                progress.update(bar, description=f"{op} {name}")
                rows += measure(op, name, scene, device, dtype, rounds, other, progress.refresh)
                progress.advance(bar)
    except (RedError, BaseError, ValueError, OSError) as error:
        _stop(str(error), code=1)
    return rows


def _todo(op: str, shape: str | None) -> list[tuple[str, str]]:
    if op != "all" and op not in CASES:
        _stop(f"op `{op}` is unknown; use one of {', '.join(CASES)}, all, list")
    chosen = list(CASES) if op == "all" else [op]
    todo = [(op, name) for op in chosen for name in SHAPES[op] if shape in (None, name)]
    if not todo:
        known = sorted({name for op in chosen for name in SHAPES[op]})
        _stop(f"shape `{shape}` is unknown to {op}; use one of {', '.join(known)}")
    return todo


def _list() -> None:
    table = Table("op", "shape", "batch, channels, size", "picture")
    for op, shapes in SHAPES.items():
        for name, shape in shapes.items():
            table.add_row(op, name, str(shape), "x".join(map(str, shape.image_size)))
    Console().print(table)


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except (OSError, ValueError) as error:
        _stop(f"`{path}` was not written: {error}", code=1)


def _stop(message: str, code: int = 2) -> NoReturn:
    ERRORS.print(message, style="red", soft_wrap=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
