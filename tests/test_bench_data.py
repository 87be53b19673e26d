"""`spt bench data`: both ways prepare the same samples, and what is written says how fast and how much."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from spt_dist import bench_data, bench_data_feed, bench_data_rows, config
from spt_dist.bench_data import ALL, OPENCV, PUBLISHED, Found, OurFeed, Round
from spt_dist.bench_data_feed import GPUS, PCIE5_BYTES_PER_S, Cost, Hunger, feed
from spt_dist.bench_data_published import PUBLISHED_BYTES, PublishedPairs, masks, transforms
from spt_dist.body import Joint
from spt_dist.cli import app
from spt_dist.geometry import part_masks, part_transforms
from spt_dist.plan.cost import Seconds
from spt_dist.plan.planner import Planner

SIZE = (64, 48)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Shards of drawn people, and the same as files."""
    folder = tmp_path_factory.mktemp("people")
    shards = bench_data.shards_of(folder, SIZE, None, None, 40)
    return shards, *bench_data.photos_of(shards, folder / "files")


def test_heat_maps_peak_at_the_joints(people):
    _, photos, _ = people
    maps = PublishedPairs(photos, sigma_px=2.0)[0]["source_heatmaps"]
    for joint, (x_px, y_px, visible) in enumerate(photos[0].joints):
        peak = divmod(int(maps[joint].argmax()), SIZE[1])
        if visible:
            assert max(abs(peak[0] - y_px), abs(peak[1] - x_px)) <= 0.5 + 1e-4
            assert 0.9 < maps[joint].max() <= 1
        else:
            assert maps[joint].max() == 0


def test_masks_and_transforms_are_those_of_geometry(people):
    joints = np.stack([photo.joints for photo in people[1]])
    joints[1, Joint.R_HIP] = joints[2, Joint.L_WRIST] = joints[3] = (-1, -1, 0)
    batch, ahead = torch.from_numpy(joints), torch.from_numpy(np.roll(joints, -1, 0))
    ours_masks, ours_maps = part_masks(batch, SIZE), part_transforms(ahead, batch, SIZE)
    for row in range(8):
        assert torch.equal(masks(joints[row], SIZE), ours_masks[row].float())
        found = transforms(joints[row + 1], joints[row])
        np.testing.assert_allclose(found[:, :6], ours_maps[row].flatten(1), atol=1e-3, rtol=1e-3)
        assert not found[:, 6:].any()


def test_both_ways_prepare_the_same_sample(people):
    shards, photos, encoded = people
    prepared, crossing = bench_data.compare(shards, photos, sigma_px=2.0)
    pixels = SIZE[0] * SIZE[1]
    assert prepared == pixels * (2 * (4 * (3 + 9 + 18) * 5 // 4 + 4 * 10 + 1)) + 2 * 10 * 8 * 4
    assert crossing == pixels * 3.5 + 18 * 3 * 4
    assert 0 < encoded < crossing
    jpegs = [len(photo.image.read_bytes()) for photo in photos]
    assert bench_data_rows.crossing_from_dali(photos, SIZE) == pytest.approx(np.mean(jpegs) + pixels + 18 * 3 * 4)
    moved = [photos[0]._replace(joints=photos[0].joints + np.float32([1, 0, 0])), *photos[1:]]
    with pytest.raises(bench_data.UnequalError, match=r"different samples: .*heatmaps by"):
        bench_data.compare(shards, moved, sigma_px=2.0)


def test_at_256_px_published_prepares_what_was_measured_on_it():
    pixels = 256 * 256
    prepared = pixels * 2 * (4 * 30 * 5 // 4 + 4 * 10 + 1) + 640
    assert prepared == 25_035_392
    assert prepared == pytest.approx(PUBLISHED_BYTES, rel=0.01)
    assert (pixels * 3.5 + 216) / prepared < 0.01


@pytest.mark.slow
def test_a_feed_counts_the_seconds_of_its_processes(people):
    feed = OurFeed(people[0], 4, 2, "webdataset", samples=64, everything=True)
    feed()  # starts them
    own, found = time.process_time(), feed()
    assert 0 < found.scene_cpu_s < found.cpu_s
    assert found.cpu_s * 64 > 2 * (time.process_time() - own)
    assert found.seconds > 0


def test_rounds_are_taken_in_turn_and_the_first_is_not_counted():
    said: list[str] = []

    class Counting:
        def __init__(self, name):
            self.name, self.rounds = name, 0

        def __call__(self):
            said.append(self.name)
            self.rounds += 1
            return Round(float(self.rounds), 2.0 * self.rounds, 0.0)

    found = bench_data.measure({"a": Counting("a"), "b": Counting("b")}, 3, lambda _: None)
    assert said == ["a", "b"] * 4
    assert found["a"] == Found(3.0, pytest.approx(1.8), pytest.approx(4.2), 6.0, 0.0)


def test_a_device_starves_below_its_pace_over_a_cores():
    hunger = Hunger("paper", SIZE, 4, "appearance", 200.0)
    (found,) = feed(hunger, {"way": Cost(cpu_s=0.002, crossing_bytes=320_000)})
    assert found.cores == pytest.approx(0.4)
    assert found.cores_of_eight == pytest.approx(0.4 * GPUS)
    assert found.link_share == pytest.approx(200 * 320_000 / PCIE5_BYTES_PER_S)


def test_the_pace_is_that_of_the_hungriest_stage_without_the_plans_input(monkeypatch):
    asked = []

    class Stage:
        def __init__(self, compute_s):
            self.compute_s = compute_s

        def seconds(self, device, cluster, zero, batch, accumulate):
            asked.append((device.name, cluster.ranks, zero, accumulate))
            return Seconds(self.compute_s * batch, 0.1, 0.1, input=100.0, reads_ahead=True)

    class FewStages(Planner):
        def __init__(self, settings, device):
            self.device, self.works = device, {"pose": Stage(0.1), "appearance": Stage(0.5)}

    monkeypatch.setattr(bench_data_feed, "Planner", FewStages)
    settings = config.load("configs/market_128x64.toml")
    (found,) = bench_data_feed.hungers("market", settings, (8,))
    assert found == Hunger("market", (128, 64), 8, "pose", pytest.approx(8 / (0.8 + 0.2)))
    assert {*asked} == {("h100", 1, 1, 1)}


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_data_rows, "SAMPLES", 8)
    monkeypatch.setattr(bench_data_rows, "PUBLISHED_SAMPLES", 4)
    words = [
        "bench",
        "data",
        "--size",
        "64",
        "--people",
        "12",
        "--batch",
        "4",
        "--cores",
        "1",
        "--workers",
        "1",
        "--repeats",
        "1",
    ]
    files = ["--configs", "", "--json", str(tmp_path / "found.json"), "--plot", str(tmp_path / "found.png")]
    said = CliRunner().invoke(app, [*words, *files])
    assert said.exit_code == 0, said.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {PUBLISHED, OPENCV, ALL} <= {*found["rows"]}
    ours, theirs = found["rows"][OPENCV], found["rows"][PUBLISHED]
    assert ours["ratio"] == pytest.approx(theirs["ms"] / ours["ms"])
    assert (ours["target"], theirs["target"]) == (bench_data_rows.TARGET, None)
    assert found["curve"][OPENCV] == {"1": pytest.approx(ours["samples_per_s"])}
    assert found["bytes"]["crossing / prepared"] < bench_data_rows.BYTES_TARGET
    assert {"torch", "scikit-image", "machine", "commit"} <= {*found["made_by"]}
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert "samples/s" in said.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "2,x"], r"`--workers 2,x` is not a list of numbers"),
        (["--workers", "0"], r"`--workers 0` is not a list of numbers"),
        (["--cores", "9999"], r"`--cores 9999`: this process may use"),
        (["--data", "a", "--shards", "b"], r"`--data` and `--shards` both"),
        (["--shards", "nowhere"], r"no shards at `nowhere`"),
        (["--size", "64x"], r"is not HEIGHTxWIDTH"),
        (["--configs", "nowhere.toml"], r"cannot read the config `nowhere.toml`"),
    ],
)
def test_what_cannot_be_measured_is_said(words, message):
    said = CliRunner().invoke(app, ["bench", "data", "--configs", "", *words])
    assert isinstance(said.exception, ValueError)
    with pytest.raises(ValueError, match=message):
        raise said.exception


def test_the_shipped_result_is_of_this_form():
    found = json.loads(Path("results/data.json").read_text())
    assert found["repeats"] >= 10
    assert (found["size"], found["cores"]) == ([256, 256], 2)
    assert all(config.load(f"configs/{row['config']}.toml") for row in found["feeding"])
    assert found["bytes"]["crossing / prepared"] <= 0.01
