"""Small sources, built: a photo, an annotation line, a job."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spt_dist.data.sources.account import Account
from spt_dist.data.sources.job import Job
from spt_dist.data.sources.run import run


def make_photo(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    """A photo of `size` (height, width) px whose pixels follow from its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(sum(path.name.encode())).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def make_line(name: str, x: float = 5, y: float = 9, missing: tuple[int, ...] = ()) -> str:
    """An annotation: joint j at (x + j, y + j)."""
    ys, xs = ([-1 if j in missing else start + j for j in range(18)] for start in (y, x))
    return f"{name}: {json.dumps(ys)}: {json.dumps(xs)}"


def make_table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("name:keypoints_y:keypoints_x", *lines)) + "\n")
    return path


ALL_MISSING = tuple(range(18))


@pytest.fixture
def do(tmp_path) -> Callable[..., tuple[Account, Path]]:
    """`do(kind, source, ...)` imports into a new folder and returns the account with it."""

    def imported(kind: str, source: Path, **options) -> tuple[Account, Path]:
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        return run(Job(kind, source, **options), out), out

    return imported


@pytest.fixture
def photo() -> Callable[..., Path]:
    return make_photo


@pytest.fixture
def line() -> Callable[..., str]:
    return make_line


@pytest.fixture
def table() -> Callable[..., Path]:
    return make_table


@pytest.fixture
def nobody() -> tuple[int, ...]:
    """All joints, to be left out."""
    return ALL_MISSING


@pytest.fixture
def account_of() -> Callable[[Path], dict]:
    """`account_of(folder)` is its import.json, once its numbers have been found to add up."""

    def read(folder: Path) -> dict:
        tree = json.loads((folder / "import.json").read_text())
        dropped = sum(tree["rows"]["dropped"].values())
        assert tree["rows"]["read"] == tree["rows"]["imported"] + dropped
        assert len((folder / "dropped.jsonl").read_text().splitlines()) == dropped
        return tree

    return read
