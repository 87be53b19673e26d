"""A run as training leaves it, but for the training: weights by chance, a config, a gallery."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from spt_dist import config
from spt_dist.data.schema import Sample
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import save_weights
from spt_dist.serve.page import export_gallery

SIZE = (64, 32)
PEOPLE = 6
SMALL = config.from_tree(
    {
        "data": {"image_size": SIZE},
        "networks": {"semantic": {"widths": [8, 8, 8]}, "appearance": {"widths": [8, 8, 8], "warped_levels": 2}},
    }
)


def people() -> Iterator[Sample]:
    """Noise with labels in blocks, and joints anywhere in the picture."""
    random = np.random.default_rng(0)
    for index in range(PEOPLE):
        image = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        labels = random.integers(0, 10, (SIZE[0] // 8, SIZE[1] // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        joints = np.column_stack([random.uniform(1, side - 2, 18) for side in (SIZE[1], SIZE[0])] + [np.ones(18)])
        yield Sample(f"person {index}", image, labels, joints.round(1).astype(np.float32))


def untrained_run(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    networks = SMALL.networks
    modules = {
        "semantic": SemanticGenerator(networks.semantic),
        "appearance": AppearanceGenerator(networks.appearance),
    }
    save_weights(folder / "weights", modules, {"config": config.to_tree(SMALL), "frame": "person"})
    (folder / "config.json").write_text(json.dumps(config.to_tree(SMALL)))
    assert export_gallery(folder, people()) == PEOPLE
    return folder
