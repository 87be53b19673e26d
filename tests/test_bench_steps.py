"""`spt bench train-step` and `infer`: the two ways are equal, on small pictures, and what differs is refused."""

import json
from dataclasses import replace

import pytest
import torch
from spt_kernels.bench.tables import Ceilings
from typer.testing import CliRunner

from spt_dist import bench_steps, bench_steps_rows, config
from spt_dist.bench_steps import OurInference, PublishedInference, Steps, UnequalError, drawn_pairs, generator_of
from spt_dist.bench_steps_rows import Job, infer_rows, step_rows, to_table
from spt_dist.cli import app

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")
SIZE = (64, 48)
KEYS = {"name", "pass", "shape", "device", "dtype", "ours", "published", "ratio", "unit", "flops", "versions", "commit"}
TOML = """
[data]
heatmap_sigma_px = 2.0
[networks.appearance]
widths = [4, 8, 8, 8]
local_enhancer = {enhancer}
[networks.semantic]
widths = [4, 8]
[networks.discriminator]
widths = [4, 8]
[networks.pose_detector]
width = 4
blocks = 1
"""


@pytest.fixture(params=["true", "false"], ids=["local enhancer", "global network"])
def toml(request, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML.format(enhancer=request.param))
    return path


@pytest.fixture
def settings(toml):
    loaded = config.load(toml)
    return replace(loaded, data=replace(loaded.data, image_size=SIZE))


def test_both_ways_have_the_same_losses_and_gradients(settings):
    term, gradient = Steps.of(settings, drawn_pairs(SIZE, batch=2)).check()
    assert term < 1e-5
    assert gradient < 1e-4


def test_a_difference_is_refused_by_name(settings):
    steps = Steps.of(settings, drawn_pairs(SIZE))
    with torch.no_grad():
        steps.ours.engines["pose_detector"].module.last.weight.mul_(1.01)
    with pytest.raises(UnequalError, match=r"differ in appearance/pose by"):
        steps.check()


def test_both_ways_draw_the_same_picture(settings):
    pairs, generator = drawn_pairs(SIZE, batch=2), generator_of(settings)
    ours, theirs = OurInference(settings, pairs, generator), PublishedInference(settings, pairs, generator)
    picture = theirs.one_direction()
    assert bench_steps.check_pictures(ours(), picture) < 1e-5
    with pytest.raises(UnequalError):
        bench_steps.check_pictures(ours() + 0.1, picture)
    assert theirs.test_path().shape == picture.shape


def test_what_the_published_code_lacks_is_refused(settings):
    appearance = replace(settings.networks.appearance, flat_colour_input=True)
    other = replace(settings, networks=replace(settings.networks, appearance=appearance))
    with pytest.raises(ValueError, match="flat_colour_input"):
        Steps.of(other, drawn_pairs(SIZE))


@pytest.mark.parametrize(("rows", "passes"), [(step_rows, 2), (infer_rows, 2)])
def test_rows_hold_what_was_measured(settings, rows, passes, monkeypatch):
    said = []
    monkeypatch.setattr(bench_steps_rows, "ceilings", lambda _: Ceilings(1e11, 1e10))
    found = rows(Job(settings, drawn_pairs(SIZE), repeats=2, threads=1, memory=False, say=said.append))
    assert len(found) == passes
    assert any("equal:" in line for line in said)
    for row in found:
        tree = json.loads(json.dumps(row.as_dict()))
        assert tree.keys() >= KEYS
        assert tree["ratio"] == pytest.approx(tree["published"] / tree["ours"])
        assert tree["quantiles"]["ours"][0] <= tree["ours"] <= tree["quantiles"]["ours"][1]
        assert tree["flops"] > 0
        assert tree["floor"] > 0
    assert to_table(found).row_count == passes


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train-step", "infer"])
@pytest.mark.parametrize("toml", ["true"], indirect=True)
def test_the_verbs_print_a_table_and_write_rows(verb, toml, tmp_path):
    target = tmp_path / "new" / "rows.json"
    arguments = ["bench", verb, "--size", "64x48", "--config", toml, "--repeats", 1, "--threads", 1, "--json", target]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert "ratio" in done.output
    for row in json.loads(target.read_text()):
        assert row["peak_rss_bytes"].keys() == {"ours", "published"}
        assert row["peak_extra_bytes"] > 0
