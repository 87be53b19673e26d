"""Small hand-made people: a few rectangles, random joints, and shards of them."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spt_dist.body import MISSING, Label
from spt_dist.data.pack import pack
from spt_dist.data.schema import Sample
from spt_dist.data.synthetic import draw_folder

SIZE = (24, 16)


def make_person(name: str, seed: int, size: tuple[int, int] = SIZE, split: str = "train", missing: int = 2) -> Sample:
    """A sample whose every pixel and joint follows from the seed."""
    random = np.random.default_rng(seed)
    height, width = size
    coarse = random.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    image = np.kron(coarse, np.ones((-(-height // 3), -(-width // 3), 1), np.uint8))[:height, :width].copy()
    labels = np.zeros(size, np.uint8)
    for label in Label:
        top, left = random.integers(0, max(1, height - 4)), random.integers(0, max(1, width - 4))
        labels[top : top + 4, left : left + 4] = label
    joints = np.ones((18, 3), np.float32)
    joints[:, 0], joints[:, 1] = random.integers(0, width, 18), random.integers(0, height, 18)
    joints[random.choice(18, missing, replace=False)] = MISSING
    return Sample(name, image, labels, joints, None, "hand-made", split)


@pytest.fixture
def person() -> Callable[..., Sample]:
    return make_person


@pytest.fixture(scope="session")
def shards_of_64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 samples of `train` in 8 shards: to be copied, not to be changed."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack([make_person(f"p{seed}", seed) for seed in range(64)], out, SIZE, "whole")
    return out


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., Path]:
    """`packed(count)` packs that many samples of `train` and returns the folder."""
    numbers = itertools.count()

    def run(count: int, **settings: int) -> Path:
        out = tmp_path / f"shards-{next(numbers)}"
        pack([make_person(f"p{seed}", seed) for seed in range(count)], out, SIZE, "whole", **settings)
        return out

    return run


@pytest.fixture(scope="session")
def people40(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn people at 32x16 px, 40 to learn from: to be copied, not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "people"
    draw_folder(folder, 40, (32, 16), 0, 4, 4)
    return folder
