"""The picture that TensorBoard shows while a run trains: a few held-out people, drawn by the averaged generators."""

from itertools import islice, pairwise

import numpy as np

from spt_dist import config, pictures
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import read_split
from spt_dist.infer import Predictor
from spt_dist.train.state import State

ROWS = 4
HEADINGS = ("source", "target pose", "parsing", "generated")


def draw_preview(state: State, settings: config.Config, manifest: Manifest) -> np.ndarray:
    """uint8 [h, w, 3]: each of the first validation samples (without two, training samples) in the pose of the next."""
    averages = {name: average.module for name, average in state.averages.items()}
    predictor = Predictor(averages["semantic"], averages["appearance"], settings, "whole")  # shards are framed already
    split = "val" if "val" in manifest.splits and manifest.splits["val"].samples > 1 else "train"
    height, rows = pictures.cell_height(manifest.size), []
    for source, target in pairwise(islice(read_split(settings.data.shards, split), ROWS + 1)):
        drawn = predictor.generate(source.image, source.labels, source.joints, target.joints)
        pose = pictures.skeleton_picture(target.joints, manifest.size, height=height)
        rows.append([source.image, pose, pictures.parsing_picture(drawn.labels, height=height), drawn.image])
    return pictures.grid(rows, HEADINGS)
