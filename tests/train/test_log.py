"""What a run writes down: lines of JSON, TensorBoard, and a picture of held-out people."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spt_dist import pictures
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import read_image
from spt_dist.infer import Predictor
from spt_dist.run_log import read_lines, read_log, read_scores
from spt_dist.train import log, preview, profiling
from spt_dist.train.engine import PlainEngine
from spt_dist.train.log import NonFiniteLossError, RunLog
from spt_dist.train.loop import Trainer
from spt_dist.train.phases import STAGES
from spt_dist.train.preview import draw_preview
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import Position, build_state


class Clock:
    """Time that a test moves."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def process_time(self):
        return self.now / 2  # half of one core


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(log.time, "monotonic", made.monotonic)
    monkeypatch.setattr(log.time, "process_time", made.process_time)
    return made


def write_two_reports(run, clock, ranks=Ranks()):
    made = RunLog(run, ranks)
    made.start(Position("appearance", 0, 100))
    means = []
    for step, (images, seconds) in enumerate(((8, 4.0), (24, 2.0))):
        for value in (1.0, 2.0, 6.0):
            made.collect({"appearance/style": torch.tensor(value + step), "appearance/pose": torch.tensor(0.1 * value)})
        clock.now += seconds
        means.append(made.report(Position("appearance", images, 100 + images), 400))
    return made, means


def test_a_line_holds_the_mean_of_its_terms_and_the_pace(tmp_path, clock):
    made, means = write_two_reports(tmp_path, clock)
    made.close()
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert first == {
        "stage": "appearance",
        "images": 8,
        "all_images": 108,
        "of_images": 400,
        "seconds": 4.0,
        "cpu_seconds": 2.0,
        "images_per_s": 2.0,  # 8 images in 4 s
        "terms": {"appearance/style": 3.0, "appearance/pose": 0.3},
    }
    assert second["images_per_s"] == 8.0  # 16 images in 2 s
    assert second["terms"] == {"appearance/style": 4.0, "appearance/pose": 0.3}
    assert [mean["appearance/style"] for mean in means] == [3.0, 4.0]
    assert read_log(tmp_path / "log.jsonl") == [first, second]


def test_what_happens_while_paused_does_not_count_in_the_pace(tmp_path, clock):
    made = RunLog(tmp_path, Ranks())
    made.start(Position("appearance", 0, 0))
    clock.now += 2.0
    with made.paused():
        clock.now += 50.0
    clock.now += 2.0
    made.report(Position("appearance", 8, 8), 8)
    made.close()
    (line,) = read_log(tmp_path / "log.jsonl")
    assert (line["seconds"], line["images_per_s"]) == (4.0, 2.0)


def test_scores_have_lines_of_their_own(tmp_path, clock):
    made, _ = write_two_reports(tmp_path, clock)
    made.scores({"masked SSIM": 0.9}, Position("appearance", 24, 124), {"pairs": 3})
    made.close()
    wanted = {"stage": "appearance", "images": 24, "all_images": 124, "pairs": 3, "scores": {"masked SSIM": 0.9}}
    assert read_scores(tmp_path / "log.jsonl") == [wanted]
    assert len(read_log(tmp_path / "log.jsonl")) == 2
    resumed = RunLog(tmp_path, Ranks())
    resumed.forget_after(Position("appearance", 8, 108))
    resumed.close()
    assert len(read_lines(tmp_path / "log.jsonl")) == 1


def test_tensorboard_shows_the_same_numbers_and_the_picture(tmp_path, clock):
    made, _ = write_two_reports(tmp_path, clock)
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    made.picture("preview", lambda: picture, Position("appearance", 24, 124))
    made.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(board.Tags()["scalars"]) == {"appearance/style", "appearance/pose", "pace/images_per_s"}
    found = {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    assert found["appearance/style"] == [(108, 3.0), (124, 4.0)]
    assert found["pace/images_per_s"] == [(108, 2.0), (124, 8.0)]
    assert found["appearance/pose"] == [(step, pytest.approx(0.3)) for step in (108, 124)]
    assert board.Tags()["images"] == ["preview"]
    (shown,) = board.Images("preview")
    assert shown.step == 124
    assert np.array_equal(read_image(shown.encoded_image_string, "preview"), picture)


def test_only_the_leading_rank_writes_and_all_learn_the_mean(tmp_path, clock, monkeypatch):
    monkeypatch.setattr("spt_dist.train.ranks.dist.all_reduce", lambda values: values.mul_(3))  # the other has twice
    made, means = write_two_reports(tmp_path, clock, Ranks(rank=1, size=2))
    made.picture("preview", lambda: pytest.fail("another rank drew the picture"), Position())
    made.forget_after(Position())
    made.close()
    assert list(tmp_path.iterdir()) == []
    assert [mean["appearance/style"] for mean in means] == [4.5, 6.0]


def test_a_non_finite_mean_is_an_error_and_not_a_line(tmp_path):
    made = RunLog(tmp_path, Ranks())
    made.collect({"semantic/parsing": torch.tensor(float("inf")), "semantic/pose": torch.tensor(1.0)})
    with pytest.raises(NonFiniteLossError, match="semantic/parsing became non-finite in stage `semantic` at 8 images"):
        made.report(Position("semantic", 8, 8), 16)
    made.close()
    assert not (tmp_path / "log.jsonl").exists()


@pytest.fixture
def untrained(tiny_config):
    """The networks as training starts with them, and averages that have gone elsewhere."""
    state = build_state(tiny_config, lambda network: PlainEngine(network, tiny_config.train), torch.device("cpu"))
    torch.manual_seed(7)
    with torch.no_grad():
        for average in state.averages.values():
            for parameter in average.module.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return state


def test_the_preview_has_a_row_per_validation_person_drawn_by_the_averages(
    untrained, tiny_config, tiny_shards, monkeypatch
):
    grids, make = [], pictures.grid
    monkeypatch.setattr(pictures, "grid", lambda *rows_and_headings: grids.append(rows_and_headings) or make(*grids[0]))
    manifest = Manifest.load(tiny_shards)
    drawn = draw_preview(untrained, tiny_config, manifest)
    ((rows, headings),) = grids
    people = list(read_split(tiny_shards, "val"))
    assert len(rows) == min(len(people) - 1, preview.ROWS) == 4
    averages = untrained.averages
    predictor = Predictor(averages["semantic"].module, averages["appearance"].module, tiny_config, "whole")
    for row, (source, target) in zip(rows, pairwise(people), strict=False):
        expected = predictor.generate(source.image, source.labels, source.joints, target.joints)
        assert np.array_equal(row[headings.index("source")], source.image)
        assert np.array_equal(row[headings.index("generated")], expected.image)
    # Every row is in the picture: leaving the last out makes it lower by a cell and a gutter, and leaves the others.
    assert drawn.dtype == np.uint8
    without_last = make(rows[:-1], headings)
    assert drawn.shape[0] - without_last.shape[0] == pictures.cell_height(manifest.size) + pictures.GUTTER
    assert drawn.shape[1] == without_last.shape[1]
    above = without_last.shape[0] - pictures.GUTTER
    assert np.array_equal(drawn[:above], without_last[:above])


def test_the_film_keeps_what_the_preview_drew(untrained, tiny_config, tiny_shards, tmp_path):
    manifest = Manifest.load(tiny_shards)
    untrained.position = Position("appearance", 4, 20)
    draw_preview(untrained, tiny_config, manifest, tmp_path)
    people, frame = (
        read_image((tmp_path / "previews" / name).read_bytes(), name) for name in ("people.jpg", "000000000020.jpg")
    )
    height, width = pictures.cell_height(manifest.size), 224 // 2
    gap = pictures.GUTTER // 2
    assert people.shape == frame.shape == (4 * height + 3 * gap, 2 * width + gap, 3)
    averages = untrained.averages
    predictor = Predictor(averages["semantic"].module, averages["appearance"].module, tiny_config, "whole")
    first, second = list(read_split(tiny_shards, "val"))[:2]
    drawn = predictor.generate(first.image, first.labels, first.joints, second.joints)
    wanted = pictures.sheet([[pictures.parsing_picture(drawn.labels, height=height), drawn.image]])
    apart = [np.abs(frame[y : y + height].astype(float) - wanted).mean() for y in (0, height + gap)]
    assert apart[0] < 8 < apart[1]  # a JPEG of the first person, not of the second


def test_the_preview_follows_the_averages_and_not_the_networks_in_training(untrained, tiny_config, tiny_shards):
    manifest = Manifest.load(tiny_shards)
    before = draw_preview(untrained, tiny_config, manifest)
    assert not untrained.averages["appearance"].module.training
    with torch.no_grad():
        for parameter in untrained.engines["appearance"].module.parameters():
            parameter.zero_()
    assert np.array_equal(draw_preview(untrained, tiny_config, manifest), before)
    with torch.no_grad():
        for parameter in untrained.averages["appearance"].module.parameters():
            parameter.zero_()
    after = draw_preview(untrained, tiny_config, manifest)
    changed = (after != before).any(axis=(0, 2)).nonzero()[0]
    assert changed.min() > 0.7 * before.shape[1]  # the last of four columns


@pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")
def test_a_trace_names_what_a_step_does(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(profiling, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(profiling, "STEPS", 1)
    made = Trainer(
        tiny_config, tmp_path, lambda network: PlainEngine(network, tiny_config.train), Ranks(), profile=True
    )
    made.train()
    for stage, phases in STAGES.items():
        events = json.loads((tmp_path / "profile" / f"{stage}.json").read_text())["traceEvents"]
        names = [event.get("name") for event in events if event.get("cat") == "user_annotation"]
        for name in ("read", "scene", *(phase.network for phase in phases)):
            assert names.count(name) == 1, (stage, name)


def test_on_a_full_disk_lines_wait_and_none_is_lost(tmp_path, clock, monkeypatch):
    made, _ = write_two_reports(tmp_path, clock)
    before = (tmp_path / "log.jsonl").read_text()
    with monkeypatch.context() as full:
        full.setattr(log, "add_lines", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        made.collect({"appearance/style": torch.tensor(1.0)})
        made.report(Position("appearance", 32, 132), 400)
        assert (tmp_path / "log.jsonl").read_text() == before
    made.collect({"appearance/style": torch.tensor(2.0)})
    made.report(Position("appearance", 40, 140), 400)
    assert [line["images"] for line in read_lines(tmp_path / "log.jsonl")] == [8, 24, 32, 40]
