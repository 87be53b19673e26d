"""`spt export`: the trained generators as one file for other runtimes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spt_dist.verbs.shared import BOX, Model, Weights, app, size_px

if TYPE_CHECKING:
    from spt_dist.person import Person

PEOPLE = 3  # whose pictures are compared


@app.command()
def export(
    run: Model = BOX,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write into.")] = Path("exported"),
    form: Annotated[
        Literal["onnx", "torch"], typer.Option("--format", help="ONNX, or a program that torch alone loads.")
    ] = "onnx",
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH in px; that of training without.")] = None,
    weights: Weights = "last",
) -> None:
    """Write the generators as one file, image, labels and joints to picture and parsing, and compare what it draws."""
    from spt_dist.export import export_generators
    from spt_dist.infer import Predictor
    from spt_dist.models.weights import weights_folder

    predictor = Predictor.load(weights_folder(run, weights))
    if size:
        predictor = predictor.at(size_px(size))
    written = export_generators(predictor, out, form, _people(run, predictor.size))
    typer.echo(
        f"{written.path}: {written.path.stat().st_size / 1e6:.1f} MB; beside the networks, {PEOPLE} people: the "
        f"greatest difference {written.apart}/255, other labels {written.other_labels:.2%}"
    )


def _people(run: Path, size: tuple[int, int]) -> "list[Person]":
    """Some of the run's gallery, else drawn ones."""
    import numpy as np

    from spt_dist.data.schema import read_image
    from spt_dist.data.synthetic import draw, sample_person, sample_pose
    from spt_dist.person import Person, read_parsing
    from spt_dist.serve.page import GALLERY_FOLDER, GALLERY_INDEX
    from spt_dist.serve.schema import Gallery

    folder = run / GALLERY_FOLDER
    if (folder / GALLERY_INDEX).is_file():
        found = Gallery.model_validate_json((folder / GALLERY_INDEX).read_text(encoding="utf-8")).people
        return [
            Person(
                read_image((folder / one.image).read_bytes(), one.image),
                read_parsing(folder / one.parsing),
                np.array(one.joints, np.float32),
            )
            for one in found[:PEOPLE]
        ]
    drawn = (np.random.default_rng((0, index)) for index in range(PEOPLE))
    return [Person(*draw(sample_person(rng), sample_pose(rng), size)) for rng in drawn]
