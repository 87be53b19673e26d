"""`make load-test`, in short: one scenario against a real endpoint, and the numbers of its report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def load_test(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tool, its report in `folder`."""
    files = ("--json", folder / "load.json", "--plot", folder / "load.png", "--markdown", folder / "load.md")
    command = [sys.executable, "-m", "tests.load", *words, *map(str, files)]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=600)


@pytest.mark.slow
def test_pressure_is_refused_in_time_and_reported(tmp_path):
    done = load_test(tmp_path, "pressure", "--scale", "0.3")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "load.json").read_text()).values()
    assert row["failures"] == 0
    assert set(row["statuses"]) == {"200", "503"}
    assert sum(row["statuses"].values()) == row["requests"]
    times = row["latency_s"]
    assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"] <= 6
    pictures = sum(row["course"]["pictures_per_s"]) * 0.5
    assert pictures == row["statuses"]["200"]
    assert row["pictures_per_s"] == pytest.approx(pictures / row["course"]["end_s"][-1], abs=0.01)
    assert all(target["passed"] for target in row["targets"])
    page = (tmp_path / "load.md").read_text()
    assert page.count("| PASS |") == len(row["targets"])
    assert "(load.png)" in page
    with Image.open(tmp_path / "load.png") as picture:
        assert min(picture.size) > 500


def test_an_unknown_scenario_is_refused_with_those_there_are(tmp_path):
    done = load_test(tmp_path, "flood")
    assert done.returncode == 2
    assert "`flood` is none of saturation, scaling" in " ".join(done.stderr.replace("│", " ").split())
    assert not any(tmp_path.iterdir())
