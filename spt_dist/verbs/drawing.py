"""Verbs that draw with a trained run, or the model in the box: pose transfer, texture transfer, edits, the endpoint.

A PERSON is FOLDER:NAME, a picture of a folder as `spt draw` makes it; IMAGE,KEYPOINTS,PARSING, three files; or IMAGE, a
raw photo, which is annotated.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spt_dist.verbs.shared import BOX, Model, Models, Overrides, Weights, app, find_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from spt_dist.infer import Predictor
    from spt_dist.provenance import Origin

People = Annotated[
    list[str], typer.Argument(help="Each FOLDER:NAME, IMAGE,KEYPOINTS,PARSING, or a raw photo.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The picture to write: .png or .jpg.")]
SEALS = {
    "whole": "whole: no byte was changed since it was signed",
    "broken": "broken: the file was changed after it was signed",
    "none": "none: nothing proves where it comes from",
}
Mark = Annotated[
    bool, typer.Option("--mark/--no-mark", help="Whether the file says that it is generated: `spt verify` reads it.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Of the noise that pictures are drawn with; without it there is none.")
]
Sheet = Annotated[bool, typer.Option("--sheet", help="A labelled grid with the photos, not the bare pictures.")]


@app.command()
def generate(
    run: Model = BOX,
    *,
    image: Annotated[Path, typer.Option(help="The source photo.")],
    keypoints: Annotated[
        str | None, typer.Option(help="Its joints: a JSON file, or ANNOTATION.csv:NAME; without, they are annotated.")
    ] = None,
    parsing: Annotated[
        Path | None, typer.Option(help="Its parsing map: PNG with labels 0 to 9; without, it is annotated.")
    ] = None,
    pose: Annotated[str | None, typer.Option(help="The wanted joints: a JSON file, or ANNOTATION.csv:NAME.")] = None,
    pose_from: Annotated[Path | None, typer.Option(help="Or a photo of somebody in the wanted pose.")] = None,
    models: Models = "box",
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("out.png"),
    seed: Seed = None,
    mark: Mark = True,
    weights: Weights = "last",
) -> None:
    """Draw one person in one pose; without RUN by the model in the box."""
    from spt_dist.infer import read_keypoints, read_person
    from spt_dist.person import read_pose

    if pose and not pose_from:
        wanted = read_keypoints(pose)
    elif pose_from and not pose:
        wanted = read_pose(pose_from, models)
    else:
        raise ValueError("give the wanted pose by --pose, or --pose-from a photo of somebody in it, one of the two")
    predictor, person = _predictor(run, weights, seed), read_person(image, keypoints, parsing, models)
    drawn = predictor.generate(*person, wanted.joints, wanted.size, seed)
    _save(drawn.image, out, _origin("generate", run, weights, seed), mark)
    typer.echo(str(out))


@app.command()
def poses(
    run: Model,
    people: People,
    pose: Annotated[list[str], typer.Option(help="JSON file, FOLDER:NAME or ANNOTATION.csv:NAME; repeatable.")] = [],  # noqa: B006
    sequence: Annotated[Path | None, typer.Option(help="A JSON list of poses, after those of --pose.")] = None,
    between: Annotated[int, typer.Option(min=0, help="So many poses more between two, on straight lines.")] = 0,
    rate: Annotated[float, typer.Option(help="Frames a second of an animation.")] = 8.0,
    out: Annotated[Path, typer.Option("--out", "-o", help=".png for a strip, .gif or .webp to move.")] = Path(
        "out.png"
    ),
    sheet: Sheet = False,
    models: Models = "box",
    seed: Seed = None,
    mark: Mark = True,
    weights: Weights = "last",
) -> None:
    """Draw people in many poses, each person encoded once."""
    from spt_dist import sheets
    from spt_dist.joints import interpolate
    from spt_dist.person import find_person, read_keypoints, read_sequence

    wanted = [read_keypoints(words) for words in pose] + (read_sequence(sequence) if sequence else [])
    if not wanted:
        raise ValueError("no pose is given; name some with --pose, or a file of them with --sequence")
    predictor = _predictor(run, weights, seed)
    joints = interpolate([predictor.frame_pose(each) for each in wanted], between)
    encoded = [predictor.encode(find_person(words, models)) for words in people]
    moved = [sheets.Moved(person.framed.image, predictor.poses_framed(person, joints, seed)) for person in encoded]
    if sheets.is_animation(out):
        plain = [sheets.strip([person.drawn[n].image for person in moved]) for n in range(len(joints))]
        frames = sheets.poses_frames(moved, joints) if sheet else plain
        _save_animation(frames, out, rate, _origin("poses", run, weights, seed), mark)
    else:
        bare = [[drawn.image for drawn in person.drawn] for person in moved]
        picture = sheets.poses_sheet(moved, joints) if sheet else sheets.stack(bare)
        _save(picture, out, _origin("poses", run, weights, seed), mark)
    typer.echo(str(out))


@app.command()
def transfer(
    run: Model,
    people: People,
    labels: Annotated[str, typer.Option(help="What to take over: names of body.Label.")] = "upper,pants,skirt",
    both: Annotated[bool, typer.Option("--both", help="The second in the first's clothes too.")] = False,
    out: Out = Path("out.png"),
    sheet: Sheet = False,
    models: Models = "box",
    seed: Seed = None,
    mark: Mark = True,
    weights: Weights = "last",
) -> None:
    """Dress the first person in the second's clothes, the third in the fourth's, and so on."""
    from spt_dist import sheets
    from spt_dist.applications import parse_labels
    from spt_dist.person import find_person

    chosen, found = parse_labels(labels), [find_person(words, models) for words in people]
    if len(found) % 2:
        raise ValueError(f"{len(found)} people are given; name them in pairs, who wears and who gives")
    predictor, rows = _predictor(run, weights, seed), []
    for wearer, giver in zip(found[::2], found[1::2], strict=True):
        orders = ((wearer, giver), (giver, wearer)) if both else ((wearer, giver),)
        drawn = [predictor.transfer(*order, chosen, seed) for order in orders]
        photos = (predictor.frame(wearer).image, predictor.frame(giver).image)
        rows.append(sheets.Swapped(photos, drawn))
    what = "clothes" if labels == "upper,pants,skirt" else labels.replace(",", " + ")
    plain = [[drawn.image for drawn in row.drawn] for row in rows]
    picture = sheets.transfer_sheet(rows, what) if sheet else sheets.stack(plain)
    _save(picture, out, _origin("transfer", run, weights, seed), mark)
    typer.echo(str(out))


@app.command()
def edit(
    run: Model,
    people: People,
    edits: Annotated[list[str], typer.Option("--edit", help="A named edit; repeatable.")] = [],  # noqa: B006
    parsing_edited: Annotated[Path | None, typer.Option(help="Or the whole edited map: PNG, labels 0 to 9.")] = None,
    out: Out = Path("out.png"),
    sheet: Sheet = False,
    models: Models = "box",
    seed: Seed = None,
    mark: Mark = True,
    weights: Weights = "last",
) -> None:
    """Change a person's parsing map and repaint what changed: one person by every --edit, or each by its own."""
    from spt_dist import sheets
    from spt_dist.edits import EDITS, edit_labels
    from spt_dist.person import find_person, read_parsing

    if bool(edits) == bool(parsing_edited):
        raise ValueError(f"give --parsing-edited, or --edit with one of {', '.join(EDITS)}")
    names = edits or [str(parsing_edited)]
    if len(people) not in (1, len(names)):
        raise ValueError(f"{len(people)} people and {len(names)} edits; give one person, or one for each edit")
    predictor, rows = _predictor(run, weights, seed), []
    for words, name in zip(people * len(names) if len(people) == 1 else people, names, strict=True):
        person = find_person(words, models)
        edited = read_parsing(name) if parsing_edited else edit_labels(name, person.labels, person.joints)
        framed = predictor.frame(person)
        shown = "edited map" if parsing_edited else name
        rows.append(sheets.Edited(shown, framed.image, framed.labels, predictor.edit(person, edited, seed)))
    picture = sheets.edit_sheet(rows) if sheet else sheets.stack([[row.drawn.image for row in rows]])
    _save(picture, out, _origin("edit", run, weights, seed), mark)
    typer.echo(str(out))


@app.command()
def verify(
    pictures: Annotated[list[Path], typer.Argument(help="PNG, JPEG, WebP or GIF files.", show_default=False)],
    trust: Annotated[Path | None, typer.Option(help="The signer's chain.pem: is the picture from there?")] = None,
) -> None:
    """Tell what pictures say of where they come from; exit status 1 where one has no whole seal."""
    from rich.console import Console
    from rich.table import Table

    from spt_dist.provenance import read

    trusted, seals = trust.read_text() if trust else "", []
    for path in pictures:
        try:
            found = read(path.read_bytes(), trusted)
        except ValueError as error:
            raise ValueError(f"`{path}` cannot be verified: {error}") from None
        seals.append(found.seal == "whole" and (found.known or not trust))
        table = Table(show_header=False, title=str(path), title_justify="left")
        table.add_row("says", found.text or "nothing")
        table.add_row("seal", SEALS[found.seal])
        if found.seal != "none":
            table.add_row("signed by", f"{found.signer} ({_known(found.known, trust)})")
        for name, value in found.origin.items():
            table.add_row(name, str(value))
        Console().print(table)
    if not all(seals):
        raise typer.Exit(1)


def _known(known: bool, trust: Path | None) -> str:
    if known:
        return f"known by {trust}"
    return f"not one of {trust}" if trust else "whoever that is: --trust chain.pem tells"


@app.command()
def serve(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Run folders, or ID=FOLDER; the first draws where none is asked for.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Serve trained runs over HTTP until interrupted; without RUNS the model in the box."""
    from spt_dist.config import load_run
    from spt_dist.serve.app import run as start

    found = _runs(runs or [str(BOX)])
    start(found, load_run(next(iter(found.values())), tuple(overrides)).serve, blocking=True)


def _runs(words: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for word in words:
        name, separator, folder = ("", "", word) if Path(word).exists() else word.partition("=")
        path = find_run(folder if separator else word)
        name = name if separator else path.resolve().name
        if name in found:
            raise ValueError(f"two runs are called `{name}`; give another id: other={word}")
        found[name] = path
    return found


def _save(picture: "np.ndarray", out: Path, origin: "Origin", mark: bool) -> None:
    from spt_dist import pictures
    from spt_dist.provenance import Sealer, format_of

    pictures.save(picture, out)
    if mark:
        out.write_bytes(Sealer().encode(picture, format_of(out), origin))


def _save_animation(frames: "Sequence[np.ndarray]", out: Path, rate: float, origin: "Origin", mark: bool) -> None:
    from spt_dist import sheets
    from spt_dist.provenance import Sealer, describe, format_of

    sheets.save_animation(frames, out, rate, describe(format_of(out), origin.text) if mark else {})
    if mark:
        out.write_bytes(Sealer().sign(out.read_bytes(), format_of(out), origin))


def _origin(operation: str, run: Path, weights: str, seed: int | None) -> "Origin":
    from spt_dist.models.weights import weights_folder
    from spt_dist.provenance import Origin
    from spt_dist.serve.following import weights_digest

    noise = "" if seed is None else str(seed)
    return Origin(operation, run.resolve().name, weights_digest(weights_folder(run, weights)), seed=noise)


def _predictor(run: Path, weights: str, seed: int | None) -> "Predictor":
    from spt_kernels import keep_memory

    from spt_dist.infer import Predictor
    from spt_dist.models.weights import weights_folder

    keep_memory()
    predictor = Predictor.load(weights_folder(run, weights))
    if seed is not None and not predictor.has_noise:
        typer.echo(f"`--seed {seed}` changes nothing: `{run}` has learned without noise (its dropout is 0)", err=True)
    return predictor
