"""The plan against real steps on this processor, and the verb."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from spt_dist import config
from spt_dist.config import ConfigError
from spt_dist.plan.calibrate import Cpu
from spt_dist.plan.check import WITHIN, Compared, compare
from spt_dist.plan.planner import Planner
from spt_dist.train.phases import STAGES

CONFIGS = {"configs/demo.toml": 4, "configs/box.toml": 2}
ATTEMPTS = 2  # other programs disturb a measurement


def plan(*arguments):
    from spt_dist.cli import app

    return CliRunner().invoke(app, ["plan", *arguments])


def test_distances_are_relative_to_what_was_measured():
    assert Compared("x", "s", 1.2, 1.0).apart == pytest.approx(0.2)
    assert not Compared("x", "s", 1.2, 1.0).met
    assert Compared("x", "s", 0.9, 1.0).met


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", CONFIGS)
def test_a_real_step_needs_what_was_planned(file, tmp_path):
    """In a process of its own, where no shapes are checked; no rate was measured on these networks."""
    program = [sys.executable, "-c", "from spt_dist.cli import main; main()", "plan", file, "--check"]
    for attempt in range(ATTEMPTS):
        path = tmp_path / f"{attempt}.json"
        subprocess.run([*program, "--set", f"data.batch={CONFIGS[file]}", "--json", str(path)], check=True)
        rows = json.loads(path.read_text())
        missed = [row for row in rows if abs(row["apart"]) > WITHIN]
        assert not [row for row in missed if row["unit"] == "MB"]
        if not missed:
            break
    assert len(rows) == 8
    assert not missed, f"further than {WITHIN:.0%}"


def test_the_verb_prints_a_plan_and_writes_it(tiny_toml, tmp_path):
    made, drawn = tmp_path / "plan.json", tmp_path / "scaling.png"
    result = plan(
        str(tiny_toml), "--gpus", "4", "--gpu", "l40s", "--json", str(made), "--plot", str(drawn),
        "--price-per-gpu-hour", "2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    tree = json.loads(made.read_text())
    assert (tree["device"], tree["ranks"], tree["batch"], tree["samples"]) == ("l40s", 4, 4, 24)
    for zero in tree["zeros"]:
        peak = dict(zero["peak"])
        total, _ = peak.pop("total"), peak.pop("phase")
        assert total == sum(peak.values())
        assert zero["cost"] == pytest.approx(2 * 4 * zero["hours"])
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert drawn.stat().st_size < 200_000
    assert "unmeasured on a GPU" in result.output
    assert "Recommended: train.zero_stage" in result.output


def test_what_cannot_be_planned_is_said(tiny_toml):
    assert isinstance(plan(str(tiny_toml), "--gpu", "abacus").exception, ConfigError)
    assert isinstance(plan("missing.toml").exception, ConfigError)
    assert isinstance(plan(str(tiny_toml), "--set", "train.zero_stage=7").exception, ConfigError)


class Steady(Cpu):
    """A processor whose every operation takes as long: nothing is measured."""

    def __init__(self):
        self.per_node, self.memory_bytes, self.usable_bytes = 2, 8e9, 4e9

    def seconds(self, op):
        return 1e-6


def test_the_processor_is_a_device_like_any_other(settings):
    small = replace(settings, stages=replace(settings.stages, semantic=replace(settings.stages.semantic, images=0)))
    made = Planner(small, Steady()).plan(2)
    assert {stage.stage for stage in made.zeros[0].stages} == {"pose", "appearance", "end_to_end"}
    for stage in made.chosen.stages:
        busy = stage.seconds.compute + stage.seconds.communication + stage.seconds.waiting
        assert stage.seconds.total == pytest.approx(busy + stage.seconds.input)


def test_a_real_step_takes_the_memory_that_was_planned():
    settings = config.load("configs/demo.toml")
    rows = [row for row in compare(settings, 4, list(STAGES), Steady()) if row.unit == "MB"]
    assert len(rows) == len(STAGES)
    assert all(row.met for row in rows), rows
