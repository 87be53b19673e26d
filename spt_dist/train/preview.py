"""What the averaged generators draw while a run trains: the same few held-out people each time.

TensorBoard shows a grid. The run keeps `previews/IMAGES.jpg`, the parsing maps and pictures alone, and once
`previews/people.jpg`, the sources and poses that they are drawn from: side by side they are a film, which the report
shows.
"""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from spt_dist import config, pictures
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import read_split
from spt_dist.infer import Predictor
from spt_dist.report import FILM, PEOPLE
from spt_dist.train.state import State

FOLDER = FILM
ROWS = 4
HEADINGS = ("source", "target pose", "parsing", "generated")


def draw_preview(state: State, settings: config.Config, manifest: Manifest, run: Path | None = None) -> np.ndarray:
    """uint8 [h, w, 3]: each of the first validation samples (without two, training samples) in the pose of the next.

    A frame of the film is written where `run` is given.
    """
    averages = {name: average.module for name, average in state.averages.items()}
    predictor = Predictor(averages["semantic"], averages["appearance"], settings, "whole")  # shards are framed already
    split = "val" if "val" in manifest.splits and manifest.splits["val"].samples > 1 else "train"
    height, rows = pictures.cell_height(manifest.size), []
    for source, target in pairwise(islice(read_split(settings.data.shards, split), ROWS + 1)):
        drawn = predictor.generate(source.image, source.labels, source.joints, target.joints)
        pose = pictures.skeleton_picture(target.joints, manifest.size, height=height)
        rows.append([source.image, pose, pictures.parsing_picture(drawn.labels, height=height), drawn.image])
    if run is not None:
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        pictures.save(pictures.sheet([row[:2] for row in rows]), folder / PEOPLE)
        pictures.save(pictures.sheet([row[2:] for row in rows]), folder / f"{state.position.images:012d}.jpg")
    return pictures.grid(rows, HEADINGS)
