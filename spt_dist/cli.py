"""`spt VERB ...`: dispatches, prints errors. Importing it costs no torch."""

import os
import sys
import warnings

import typer

from spt_dist.verbs import (
    annotating,
    bench,
    bench_inputs,
    checkpoints,
    data,
    drawing,
    exporting,
    importing,
    keys,
    looking,
    planning,
    training,
)
from spt_dist.verbs.shared import app

__all__ = [
    "annotating",
    "bench",
    "bench_inputs",
    "checkpoints",
    "data",
    "drawing",
    "exporting",
    "importing",
    "keys",
    "looking",
    "main",
    "planning",
    "training",
]


def main() -> None:
    """The console script: a user's mistake is one line, without a traceback (SPT_TRACEBACK=1 shows it)."""
    warnings.showwarning = _warn
    try:
        app()
    except (ValueError, ArithmeticError, OSError, RuntimeError) as error:
        if os.environ.get("SPT_TRACEBACK"):
            raise
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2)


def _warn(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Our own warnings as one line; those of libraries are for us, not for users."""
    if category is UserWarning:
        typer.secho(f"warning: {message}", fg="yellow", err=True)
