"""The page: one HTML file that needs nothing beside it and asks no other host."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from jinja2 import Environment

from spt_dist.body import LABEL_COLOURS, Label
from spt_dist.data.pairs import normalised
from spt_dist.data_report import drawing
from spt_dist.data_report.facts import Facts
from spt_dist.data_report.looking import Look
from spt_dist.data_report.rejected import PICTURED, Sources
from spt_dist.pictures import at_height

TEMPLATE, STYLE = "page.html", "report.css"
SAMPLES, PAIRS, FAR = 6, 12, 6  # shown, of a split
DOTS = 1_500  # of the map of poses
MAP_PX = (640, 400)  # width, height
SPLIT_COLOURS = {"train": "#4c78a8", "val": "#3f9b5b", "test": "#e4812f", "twin": "#a8599c"}


def write_page(found: Look, name: str, sources: Sequence[Path], out: Path) -> None:
    """Draw what was found into the file `out`."""
    facts, tree = found.facts, found.tree
    size = (tree["size"][0], tree["size"][1])
    places = _places(found.poses.xy)
    page = (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(files("spt_dist.data_report").joinpath(TEMPLATE).read_text())
        .render(
            name=name,
            style=files("spt_dist").joinpath(STYLE).read_text(),
            tree=tree,
            colours={split: SPLIT_COLOURS.get(split, "#646a76") for split in facts.splits},
            swatches={label.name: "#" + bytes(LABEL_COLOURS[label]).hex() for label in Label},
            samples={split: list(_samples(found, split)) for split in facts.splits},
            heat=drawing.heat_maps(facts, size),
            rejected=_rejected(tree["rejected"], Sources(sources)),
            typical=[_pose(found, row) for row in found.poses.typical],
            far={split: list(_far(found, split)) for split in facts.splits},
            dots=list(_dots(facts, places)),
            marks=places[found.poses.typical].tolist(),
            map_px=MAP_PX,
            pairs=list(_pairs(found)),
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", errors="replace")


def _samples(found: Look, split: str) -> Iterator[dict[str, str]]:
    """Samples of a split, evenly apart in its order, which is that of hashes."""
    rows = found.facts.rows(split)
    for row in rows[np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(int)].tolist():
        yield {"id": found.facts.ids[row], "image": drawing.sample_strip(found.album[row])}


def _rejected(tree: dict[str, Any], sources: Sources) -> list[dict[str, Any]]:
    """The kinds of reasons, each with the pictures that can still be read."""
    kinds = []
    for kind in tree["kinds"]:
        photos = [(line["id"], sources.photo(line)) for line in kind["listed"][:PICTURED]]
        shown = [
            {"id": name, "image": drawing.jpeg(at_height(photo, drawing.POSE_HEIGHT))}
            for name, photo in photos
            if photo is not None
        ]
        kinds.append(kind | {"shown": shown})
    return kinds


def _pose(found: Look, row: int) -> str:
    joints = found.facts.joints[row]
    return drawing.pose_picture(joints, normalised(torch.from_numpy(joints)[None]).xy[0].numpy())


def _far(found: Look, split: str) -> Iterator[dict[str, Any]]:
    """The poses of a split that are farthest from the reference's, each beside its nearest there."""
    places = {found.facts.ids[row]: row for row in found.facts.rows(split).tolist()}
    for one in found.tree["poses"]["coverage"][split]["far"][:FAR]:
        row = places[one["id"]]
        yield one | {"own": _pose(found, row), "known": _pose(found, int(found.nearest.row[row]))}


def _dots(facts: Facts, places: Any) -> Iterator[tuple[float, float, str]]:
    """Places on the map and their split, the largest split first so that no other is hidden."""
    for split in sorted(facts.splits, key=lambda name: -len(facts.rows(name))):
        rows = facts.rows(split)
        share = max(1, round(DOTS * len(rows) / len(facts.ids)))
        for row in rows[np.linspace(0, len(rows) - 1, min(share, len(rows))).astype(int)].tolist():
            x, y = places[row].tolist()
            yield x, y, split


def _places(xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Where each pose lies on the drawn map, in px; the few beyond its edge are drawn at the edge."""
    low, high = np.quantile(xy, (0.005, 0.995), axis=0)
    shares = (xy - low) / np.maximum(high - low, 1e-9)
    return ((0.05 + 0.9 * shares).clip(0.02, 0.98) * MAP_PX).round(1)


def _pairs(found: Look) -> Iterator[dict[str, Any]]:
    """The pairs that look most alike, those across splits first."""
    for pair, told in zip(found.pairs[:PAIRS], found.tree["near_duplicates"]["listed"], strict=False):
        yield told | {"image": drawing.side_by_side(found.album[pair.one], found.album[pair.other])}
