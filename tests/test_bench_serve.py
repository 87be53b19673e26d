"""`spt bench serve`: every runtime draws the same picture, and what is written says how fast."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from spt_dist import config
from spt_dist.bench_backends import BUILDERS, KEPT, OURS, PUBLISHED, Direction, _inputs, measure
from spt_dist.bench_serve import BATCHES
from spt_dist.bench_steps import OurInference, drawn_pairs, generator_of
from spt_dist.cli import app
from spt_dist.export_forms import plain_forms

SIZE = (64, 48)
TOML = """
[data]
heatmap_sigma_px = 2.0
[networks.appearance]
widths = [4, 8, 8, 8]
local_enhancer = true
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def settings(toml):
    loaded = config.load(toml)
    return replace(loaded, data=replace(loaded.data, image_size=SIZE))


def test_what_the_runtimes_are_given_is_what_ours_draws(settings):
    pairs, generator = drawn_pairs(SIZE), generator_of(settings)
    expected = OurInference(settings, pairs, generator)()
    inputs = [torch.from_numpy(array) for array in _inputs(pairs).values()]
    module = Direction(settings, generator)
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), expected, atol=1e-5, rtol=0)
        with plain_forms():
            torch.testing.assert_close(module(*inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_other_runtimes_draw_the_same_picture(settings):
    found = measure(settings, 1, 1, ("onnxruntime", "openvino"), lambda _: None)
    assert [*found] == [OURS, PUBLISHED, KEPT, "onnxruntime", "openvino"]
    assert all(each.apart <= 1 for each in found.values())
    assert {*BUILDERS} > {"onnxruntime", "openvino"}


def test_the_command_writes_what_it_measured(toml, tmp_path):
    words = ["bench", "serve", "--size", "64x64", "--config", str(toml), "--runtimes", "", "--repeats", "1"]
    said = CliRunner().invoke(app, [*words, "--threads", "1", "--json", str(tmp_path / "found.json")])
    assert said.exit_code == 0, said.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {*found["one direction"]["runtimes"]} == {OURS, PUBLISHED, KEPT}
    assert {*found["trained model"]["pictures_per_s"]} == {*map(str, BATCHES)}
    share = found["trained model"]["share before and after the networks"]
    assert 0 < share < 1
    assert found["cache"][0]["hit / miss"] > 0
    assert {"torch", "onnxruntime", "openvino", "commit", "machine"} <= {*found["made_by"]}
    assert np.isfinite(found["one direction"]["published / ours"])
