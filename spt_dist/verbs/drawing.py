"""Verbs that draw with a trained run."""

from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.shared import Overrides, Run, app


@app.command()
def generate(
    run: Run,
    image: Annotated[Path, typer.Option(help="The source photo.")],
    keypoints: Annotated[str, typer.Option(help="The source's joints: a JSON file, or ANNOTATION.csv:NAME.")],
    parsing: Annotated[Path, typer.Option(help="The source's parsing map: PNG with labels 0 to 9.")],
    pose: Annotated[str, typer.Option(help="The wanted joints: a JSON file, or ANNOTATION.csv:NAME.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("out.png"),
) -> None:
    """Draw one person in one pose."""
    from spt_dist import pictures
    from spt_dist.infer import Predictor, read_keypoints, read_person

    predictor, wanted = Predictor.load(run / "weights"), read_keypoints(pose)
    drawn = predictor.generate(*read_person(image, keypoints, parsing), wanted.joints, wanted.size)
    pictures.save(drawn.image, out)
    typer.echo(str(out))


@app.command()
def serve(run: Run, overrides: Overrides = []) -> None:  # noqa: B006
    """Serve a trained run over HTTP until interrupted."""
    from spt_dist.config import load_run
    from spt_dist.serve.app import run as start

    start(run, load_run(run, tuple(overrides)).serve, blocking=True)
