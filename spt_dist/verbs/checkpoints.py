"""Verbs that look at the checkpoints of a run."""

from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.shared import Run, app

checkpoints = typer.Typer(no_args_is_help=True, help="List, verify and export the checkpoints of a run.")
app.add_typer(checkpoints, name="checkpoint")


@checkpoints.command("ls")
def list_all(run: Run) -> None:
    """List the checkpoints of a run: how far it was, when, how large, its score."""
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from spt_dist.train.checkpoint import read_meta

    shown = Table()
    for heading in ("images", "stage", "workers", "written", "MB", "score"):
        shown.add_column(heading, justify="left" if heading == "stage" else "right")
    for path in _checkpoints(run):
        meta = read_meta(path)
        metric, scores = meta["config"]["train"]["best_metric"], meta.get("scores", {})
        size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shown.add_row(
            f"{meta['position']['images']:,}",
            f"{meta['position']['stage']}, {meta['position']['stage_images']:,}",
            str(meta["ranks"]),
            f"{datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M}",
            f"{size_bytes / 1e6:.1f}",
            f"{metric} {scores[metric]:.3f}" if metric in scores else "–",
        )
    Console().print(shown)


@checkpoints.command()
def verify(run: Run) -> None:
    """Read every file of every checkpoint of a run again, and compare it with what was written."""
    from spt_dist.train.checkpoint import damage

    paths, damaged = _checkpoints(run), 0
    for path in paths:
        wrong = damage(path)
        damaged += bool(wrong)
        typer.echo(f"{path}: {'; '.join(wrong) or 'whole'}")
    if damaged:
        raise ValueError(f"{damaged} of {len(paths)} checkpoints of `{run}` are damaged; --resume passes them over")


@checkpoints.command()
def export(
    run: Run,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write: a run to evaluate, serve, start from.")
    ],
    images: Annotated[int, typer.Option(help="The checkpoint after so many images; the newest by default.")] = -1,
) -> None:
    """Make a run of a checkpoint: its weights as safetensors with their card, and all its networks."""
    from spt_dist.train.export import export_checkpoint

    paths = {int(path.name): path for path in _checkpoints(run)}
    if images >= 0 and images not in paths:
        raise ValueError(f"`{run}` has no checkpoint after {images} images; it has {', '.join(map(str, paths))}")
    export_checkpoint(paths[images] if images >= 0 else paths[max(paths)], out)
    typer.echo(f"{out}/weights; next: spt evaluate {out}, or spt serve {out}")


def _checkpoints(run: Path) -> list[Path]:
    from spt_dist.train.checkpoint import all_of

    found = all_of(run)
    if not found:
        raise ValueError(f"`{run}` has no checkpoints; `spt train CONFIG -o {run}` writes them as it goes")
    return found
