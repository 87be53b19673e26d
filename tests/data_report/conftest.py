"""Shards with everything planted that a look at data must find, and the look at them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from spt_dist.body import MISSING, Joint, Label
from spt_dist.cli import app
from spt_dist.data.importers import Unreadable
from spt_dist.data.pack import pack
from spt_dist.data.schema import Sample

SIZE = (96, 64)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
STANDING = {
    Joint.NOSE: (32, 14), Joint.NECK: (32, 24), Joint.R_SHOULDER: (24, 26), Joint.R_ELBOW: (21, 38),
    Joint.R_WRIST: (20, 48), Joint.L_SHOULDER: (40, 26), Joint.L_ELBOW: (43, 38), Joint.L_WRIST: (44, 48),
    Joint.R_HIP: (27, 50), Joint.R_KNEE: (27, 68), Joint.R_ANKLE: (27, 86), Joint.L_HIP: (37, 50),
    Joint.L_KNEE: (37, 68), Joint.L_ANKLE: (37, 86), Joint.L_EYE: (35, 12), Joint.R_EYE: (29, 12),
    Joint.L_EAR: (38, 13), Joint.R_EAR: (26, 13),
}  # fmt: skip


def standing(seed: int) -> np.ndarray:
    """A standing person's joints, each somewhat elsewhere."""
    joints = np.array([[*STANDING[joint], 1] for joint in Joint], np.float32)
    joints[:, :2] += np.random.default_rng(seed).normal(0, 0.7, (len(Joint), 2))
    return joints


def handstand() -> np.ndarray:
    """Legs and arms thrown up beside the head: nobody else stands so."""
    joints = standing(0)
    for joint, place in ((Joint.R_KNEE, (10, 30)), (Joint.R_ANKLE, (8, 8)), (Joint.L_KNEE, (56, 30)),
                         (Joint.L_ANKLE, (58, 8)), (Joint.R_WRIST, (12, 4)), (Joint.L_WRIST, (52, 4))):  # fmt: skip
        joints[joint, :2] = place
    return joints


def make_person(name: str, seed: int, split: str = "train", **other) -> Sample:
    """A person whose picture is unlike any other's."""
    random = np.random.default_rng(seed)
    image = cv2.resize(random.integers(0, 256, (12, 8, 3)).astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    labels = np.zeros(SIZE, np.uint8)
    for label, (top, left) in {Label.FACE: (8, 26), Label.UPPER: (24, 22), Label.PANTS: (52, 24)}.items():
        labels[top : top + 14, left : left + 16] = label
    return Sample(**{"id": name, "image": image, "labels": labels, "joints": standing(seed), "identity": None,
                     "source": "planted", "split": split, **other})  # fmt: skip


def planted() -> list[Sample | Unreadable]:
    train = [make_person(f"p{n}", n) for n in range(12)]
    noise = np.random.default_rng(7).integers(-3, 4, (*SIZE, 3))
    brighter = np.clip(train[3].image.astype(int) + 4 + noise, 0, 255).astype(np.uint8)
    one = make_person("few", 40)
    few = one.joints.copy()
    few[4:] = MISSING
    return [
        *train,
        make_person("p3-again", 3, image=brighter),
        make_person("both", 20, identity="anna"),
        make_person(HOSTILE, 21, "val", identity=HOSTILE),
        make_person("few", 40, joints=few),
        Unreadable("torn", "`img/torn.jpg` is damaged or cut off (12 bytes)", "train", "planted"),
        Unreadable("torn2", "`img/torn2.jpg` is damaged or cut off (9 bytes)", "test", "planted"),
        *(make_person(f"v{n}", 50 + n, "val") for n in range(4)),
        *(make_person(f"t{n}", 60 + n, "test") for n in range(4)),
        make_person("both", 70, "test"),
        make_person("anna-again", 71, "test", identity="anna"),
        make_person("p5-in-test", 72, "test", image=train[5].image),
        make_person("handstand", 73, "test", joints=handstand()),
    ]


@pytest.fixture
def person() -> Callable[..., Sample]:
    return make_person


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("planted") / "shards"
    pack(planted(), out, SIZE, "whole")
    return out


@pytest.fixture(scope="session")
def report():
    """`report(SHARDS, ...)` runs the verb and returns what it printed; errors come as exceptions."""

    def run(*words: object) -> str:
        done = CliRunner(env={"COLUMNS": "300"}).invoke(
            app, ["data", "report", *map(str, words)], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.output

    return run
