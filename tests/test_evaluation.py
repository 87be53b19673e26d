"""Evaluation: the right pairs, the numbers of the files it writes, and a report that stands alone."""

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from spt_dist import config, metrics
from spt_dist.data.pipeline import read_split
from spt_dist.evaluation import COPIED, FLAT, GENERATED, OWN_POSE, TRUE_TARGET, evaluate, make_pairs
from spt_dist.report import draw_curves


def values(run) -> dict:
    rows = json.loads((run / "evaluation" / "metrics.json").read_text())["rows"]
    return {(row["variant"], row["metric"]): row for row in rows}


def test_pairs_of_one_identity_have_a_true_target(tiny_shards):
    samples = list(read_split(tiny_shards, "test"))
    pairs = list(make_pairs(samples))
    assert len(pairs) == 6
    assert all(pair.true and pair.source.identity == pair.target.identity for pair in pairs)
    assert all(pair.source.id != pair.target.id for pair in pairs)
    strangers = [replace(sample, identity=None) for sample in samples]
    pairs = list(make_pairs(strangers))
    assert len(pairs) == 6
    assert not any(pair.true for pair in pairs)
    assert sorted(pair.target.id for pair in pairs) == sorted(sample.id for sample in samples)


def test_scores_against_true_targets(tiny_run, tiny_shards):
    steps = []
    evaluate(tiny_run, config.load_run(tiny_run), lambda done, total: steps.append((done, total)))
    found = values(tiny_run)
    pairs = list(make_pairs(list(read_split(tiny_shards, "test"))))[:4]
    source, truth = (torch.from_numpy(np.stack([pair[i].image for pair in pairs])) for i in (0, 1))
    assert found[COPIED, "SSIM"]["value"] == pytest.approx(metrics.ssim(source, truth).mean().item(), abs=1e-6)
    assert found[COPIED, "SSIM"]["against"] == TRUE_TARGET
    assert found[COPIED, "SSIM"]["n"] == 4
    for metric in ("SSIM", "masked SSIM", "L1 inside"):
        assert {variant for variant, name in found if name == metric} == {GENERATED, COPIED, FLAT}
    assert 0 <= found["H_S", "parsing mIoU"]["value"] <= 1
    assert found[FLAT, "L1 inside"]["value"] != found[GENERATED, "L1 inside"]["value"]
    assert steps[-1] == (4, 4)


def test_photos_of_strangers_are_scored_in_their_own_pose(tiny_run, monkeypatch):
    strangers = [replace(s, identity=None) for s in read_split(config.load_run(tiny_run).data.shards, "test")]
    monkeypatch.setattr("spt_dist.evaluation.read_split", lambda shards, split: iter(strangers))
    evaluate(tiny_run, config.load_run(tiny_run))
    found = values(tiny_run)
    assert found[COPIED, "L1 inside"]["against"] == OWN_POSE
    assert found[COPIED, "L1 inside"]["value"] == 0  # the source in its own pose is the source
    page = (tiny_run / "evaluation" / "report.html").read_text()
    assert "drawn in its own pose" in page


def test_a_split_without_pairs_is_refused(tiny_run, monkeypatch):
    monkeypatch.setattr("spt_dist.evaluation.read_split", lambda shards, split: iter(()))
    with pytest.raises(ValueError, match=r"the test split of .* holds fewer than two pictures"):
        evaluate(tiny_run, config.load_run(tiny_run))


def test_the_report_stands_alone(tiny_run):
    evaluate(tiny_run, config.load_run(tiny_run))
    page = (tiny_run / "evaluation" / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    card = json.loads((tiny_run / "weights" / "card.json").read_text())
    missing = ("FID is not computed", "IS is not computed", "LPIPS is not computed")
    for fact in (card["data_hash"][:16], torch.__version__, "masked SSIM", *missing):
        assert fact in page
    grid = cv2.imread(str(tiny_run / "evaluation" / "grid.png"))
    assert 2 * 224 < grid.shape[0] < 3 * 224  # a row per person, at a height that people can see
    assert grid.std() > 20


def test_curves_have_a_plot_per_term():
    log = [{"stage": s, "all_images": n, "terms": {"a/x": n, "b/y": 1.0}} for n, s in ((4, "pose"), (8, "semantic"))]
    picture = cv2.imdecode(np.frombuffer(draw_curves(log), np.uint8), cv2.IMREAD_COLOR)
    assert (picture < 250).any(2).mean() > 0.01


def test_other_data_than_the_training_runs_is_said(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    card = tmp_path / "run" / "weights" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"data_hash": "f" * 64}))
    with pytest.warns(UserWarning, match=r"is not what .* was trained on \(ffffffffffff\)"):
        evaluate(tmp_path / "run", config.load_run(tiny_run))
