"""What the averaged generators draw while a run trains: the same few held-out people each time.

TensorBoard shows a grid. The run keeps `previews/IMAGES.jpg`, the parsing maps and pictures alone, and once
`previews/people.jpg`, the sources and poses that they are drawn from: side by side they are a film, which the report
shows.
"""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spt_dist import config, pictures
from spt_dist.body import Joint, Label
from spt_dist.data.frame import frame
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import read_split
from spt_dist.infer import Predictor
from spt_dist.models.annotator import heatmap_peaks, seen_joints
from spt_dist.models.inputs import to_float, to_labels
from spt_dist.report import FILM, PEOPLE
from spt_dist.train.state import State

FOLDER = FILM
ROWS = 4
HEADINGS = ("source", "target pose", "parsing", "generated")
ANNOTATED = ("photo", "joints found", "parsing found", "true joints", "true parsing")


def draw_preview(state: State, settings: config.Config, manifest: Manifest, run: Path | None = None) -> np.ndarray:
    """uint8 [h, w, 3]: each of the first validation samples (without two, training samples) in the pose of the next.

    A frame of the film is written where `run` is given.
    """
    averages = {name: average.module for name, average in state.averages.items()}
    if settings.networks.annotator is not None:
        return _draw_annotated(
            averages["annotator"], settings.networks.annotator, settings.data.shards, _split(manifest)
        )
    predictor = Predictor(averages["semantic"], averages["appearance"], settings, "whole")  # shards are framed already
    height, rows = pictures.cell_height(manifest.size), []
    for source, target in pairwise(islice(read_split(settings.data.shards, _split(manifest)), ROWS + 1)):
        drawn = predictor.generate(source.image, source.labels, source.joints, target.joints)
        pose = pictures.skeleton_picture(target.joints, manifest.size, height=height)
        rows.append([source.image, pose, pictures.parsing_picture(drawn.labels, height=height), drawn.image])
    if run is not None:
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        pictures.save(pictures.sheet([row[:2] for row in rows]), folder / PEOPLE)
        pictures.save(pictures.sheet([row[2:] for row in rows]), folder / f"{state.position.images:012d}.jpg")
    return pictures.grid(rows, HEADINGS)


def _split(manifest: Manifest) -> str:
    return "val" if "val" in manifest.splits and manifest.splits["val"].samples > 1 else "train"


@torch.no_grad()
def _draw_annotated(network: nn.Module, annotator: config.Annotator, shards: str, split: str) -> np.ndarray:
    """What an annotator finds in the first samples, cut to the person, and what is there."""
    height, rows = pictures.cell_height(annotator.size), []
    for sample in islice(read_split(shards, split), ROWS):
        cut = frame(sample.image, sample.labels, sample.joints, annotator.size)
        labels, places = network(to_float(torch.from_numpy(cut.image)[None])).split([len(Label), len(Joint)], 1)
        found = seen_joints(heatmap_peaks(places))[0].numpy()
        skeletons = [pictures.skeleton_picture(joints, annotator.size, height=height) for joints in (found, cut.joints)]
        maps = [pictures.parsing_picture(each, height=height) for each in (to_labels(labels)[0].numpy(), cut.labels)]
        rows.append([cut.image, skeletons[0], maps[0], skeletons[1], maps[1]])
    return pictures.grid(rows, ANNOTATED)
