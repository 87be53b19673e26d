"""The whole chain by its own command: people, shards, two workers, evaluation, endpoint, one request."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

SPT = str(Path(sys.executable).with_name("spt"))


def spt(*words: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"COLUMNS": "200"}
    command = [SPT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, check=False, env=environment)


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_a_served_picture(tiny_toml, tmp_path):
    run = tmp_path / "run"
    done = spt("demo", "--config", tiny_toml, "--out", run, "--set", "train.workers=2")
    assert done.returncode == 0, done.stderr[-3000:]

    served = cv2.imread(str(run / "served.png"))
    assert served.shape == (32, 16, 3)
    grid = cv2.imread(str(run / "evaluation" / "grid.png"))
    assert grid.shape[0] > 8 * 224
    rows = json.loads((run / "evaluation" / "metrics.json").read_text())["rows"]
    assert {row["against"] for row in rows} == {"true target"}
    assert sorted(path.name for path in (run / "weights").iterdir()) == [
        "appearance.safetensors",
        "card.json",
        "semantic.safetensors",
    ]
    for said in ("spt draw", "spt pack", "spt train", "spt evaluate", "spt serve", "evaluation/report.html"):
        assert said in done.stderr

    people = run / "people"
    drawn = spt(
        "generate", run, "-o", tmp_path / "out.png",
        "--image", people / "img" / "test_00000_0.jpg",
        "--parsing", people / "parsing" / "test_00000_0.png",
        "--keypoints", f"{people}/keypoints.csv:test_00000_0.jpg",
        "--pose", f"{people}/keypoints.csv:test_00003_1.jpg",
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert np.unique(cv2.imread(str(tmp_path / "out.png"))).size > 1
