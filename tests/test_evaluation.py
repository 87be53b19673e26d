"""Evaluation: the right pairs, the numbers of the files it writes, and a report that stands alone."""

import html
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
from spt_dist.data.schema import DataError
from spt_dist.evaluation import RANKED_BY, evaluate
from spt_dist.held_out import COPIED, FLAT, GENERATED, OWN_POSE, TRUE_TARGET, make_pairs, read_listed
from spt_dist.infer import Predictor


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
    monkeypatch.setattr("spt_dist.held_out.read_split", lambda shards, split: iter(strangers))
    evaluate(tiny_run, config.load_run(tiny_run))
    found = values(tiny_run)
    assert found[COPIED, "L1 inside"]["against"] == OWN_POSE
    assert found[COPIED, "L1 inside"]["value"] == 0  # the source in its own pose is the source
    page = (tiny_run / "evaluation" / "report.html").read_text()
    assert "drawn in its own pose" in page


def test_a_split_without_pairs_is_refused(tiny_run, monkeypatch):
    monkeypatch.setattr("spt_dist.held_out.read_split", lambda shards, split: iter(()))
    with pytest.raises(ValueError, match=r"the test split of .* holds fewer than two pictures"):
        evaluate(tiny_run, config.load_run(tiny_run))


def test_the_report_stands_alone(tiny_run):
    evaluate(tiny_run, config.load_run(tiny_run))
    page = (tiny_run / "evaluation" / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    card = json.loads((tiny_run / "weights" / "card.json").read_text())
    missing = ("FID is not computed", "IS is not computed", "LPIPS is not computed")
    for fact in (card["data_hash"][:16], torch.__version__, "masked SSIM", *missing):
        assert fact in page
    grid = cv2.imread(str(tiny_run / "evaluation" / "grid.png"))
    assert 2 * 224 < grid.shape[0] < 3 * 224  # a row per person, at a height that people can see
    assert grid.std() > 20


def test_the_worst_pairs_are_named_worst_first(tiny_run, tiny_shards):
    evaluate(tiny_run, config.load_run(tiny_run, ("evaluation.failures=2",)))
    failures = json.loads((tiny_run / "evaluation" / "failures.json").read_text())
    pairs = list(make_pairs(list(read_split(tiny_shards, "test"))))[:4]
    predictor = Predictor.load(tiny_run / "weights")
    drawn = [predictor.generate(p.source.image, p.source.labels, p.source.joints, p.target.joints) for p in pairs]
    columns = [each.image for each in drawn], [pair.target.image for pair in pairs]
    pictured, truth = (torch.from_numpy(np.stack(column)) for column in columns)
    joints = torch.from_numpy(np.stack([pair.target.joints for pair in pairs]))
    scores = metrics.masked_ssim(pictured, truth, joints)
    assert RANKED_BY == "masked SSIM"
    worst = scores.argsort()[:2].tolist()
    assert [(f["source"], f["target"]) for f in failures] == [(pairs[i].source.id, pairs[i].target.id) for i in worst]
    assert [failure["masked_ssim"] for failure in failures] == pytest.approx(scores[worst].tolist(), abs=1e-5)
    overlap = metrics.mean_iou(
        torch.from_numpy(drawn[worst[0]].labels)[None], torch.from_numpy(pairs[worst[0]].target.labels)[None]
    )
    assert failures[0]["mean_iou"] == pytest.approx(overlap, abs=1e-5)
    page = (tiny_run / "evaluation" / "report.html").read_text()
    assert page.count('class="case"') == 2
    assert all(line in html.unescape(page) for failure in failures for line in failure["because"])


def test_no_failures_are_asked_for(tiny_run):
    evaluate(tiny_run, config.load_run(tiny_run, ("evaluation.failures=0",)))
    assert "Where it fails" not in (tiny_run / "evaluation" / "report.html").read_text()


def test_the_best_weights_have_their_own_evaluation(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    with pytest.raises(ValueError, match="has no best weights"):
        evaluate(run, config.load_run(run), weights="best")
    shutil.copytree(run / "weights", run / "weights-best")
    card = run / "weights-best" / "card.json"
    chosen_by = {"metric": "masked SSIM", "value": 0.9123, "images": 4000, "pairs": 24, "against": TRUE_TARGET}
    card.write_text(json.dumps(json.loads(card.read_text()) | {"chosen_by": chosen_by}))
    evaluate(run, config.load_run(run), weights="best")
    assert not (run / "evaluation").exists()
    page = " ".join((run / "evaluation-best" / "report.html").read_text().split())
    assert "best by masked SSIM on 24 validation pairs (0.912, after 4,000 images)" in page


def test_other_data_than_the_training_runs_is_said(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    card = tmp_path / "run" / "weights" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"data_hash": "f" * 64}))
    with pytest.warns(UserWarning, match=r"is not what .* was trained on \(ffffffffffff\)"):
        evaluate(tmp_path / "run", config.load_run(tiny_run))


def test_the_pairs_of_a_list_are_scored(tiny_run, tiny_shards, tmp_path):
    samples = {sample.id: sample for sample in read_split(tiny_shards, "test")}
    own = list(make_pairs(list(samples.values())))
    chosen = [(pair.target.id, pair.source.id) for pair in own[:3]]  # the other way round, as no pair is made
    file = tmp_path / "pairs-test.csv"
    file.write_text("from,to\n" + "".join(f"{one}.jpg,{other}.png\n" for one, other in chosen))
    evaluate(tiny_run, config.load_run(tiny_run), listed=file)
    found = values(tiny_run)
    source, truth = (torch.from_numpy(np.stack([samples[pair[side]].image for pair in chosen])) for side in (0, 1))
    assert found[COPIED, "SSIM"]["value"] == pytest.approx(metrics.ssim(source, truth).mean().item(), abs=1e-6)
    assert (found[COPIED, "SSIM"]["n"], found[COPIED, "SSIM"]["against"]) == (3, TRUE_TARGET)
    remarks = json.loads((tiny_run / "evaluation" / "metrics.json").read_text())["remarks"]
    assert "The pairs are those of pairs-test.csv: 3 of them." in remarks


def test_a_list_of_pairs_is_read_as_it_is_meant(tiny_shards, tmp_path):
    names = [sample.id for sample in read_split(tiny_shards, "test")]
    file = tmp_path / "pairs-test.csv"
    file.write_text("from,to\n" + "".join(f"{names[0]}.jpg,{other}.jpg\n" for other in names))
    with pytest.warns(UserWarning, match=r"3 of 6 pairs .* evenly apart; --set evaluation.pairs=6 takes all"):
        pairs = read_listed(str(tiny_shards), "test", 3, file)
    assert [pair.target.id for pair in pairs] == [names[0], names[2], names[4]]
    own = {sample.id: sample.identity for sample in read_split(tiny_shards, "test")}
    assert [pair.true for pair in pairs] == [own[names[0]] == own[pair.target.id] for pair in pairs]
    file.write_text(f"{names[0]}.jpg,{names[1]}.jpg\ngone.jpg,{names[1]}.jpg\n")
    with pytest.warns(UserWarning, match=r"1 of 2 pairs .* rejected.jsonl"):
        assert len(read_listed(str(tiny_shards), "test", 3, file)) == 1
    file.write_text("from,to\nothers_1.jpg,others_2.jpg\n")
    with pytest.raises(DataError, match=r"none of the 1 pairs .* the first is others_1, others_2; name the list"):
        read_listed(str(tiny_shards), "test", 3, file)
    file.write_text("one,two,three\n")
    with pytest.raises(DataError, match=r"line 1: expected two names `from,to`, found `one,two,three`"):
        read_listed(str(tiny_shards), "test", 3, file)
    with pytest.raises(DataError, match=r"cannot read the pairs .*spt import"):
        read_listed(str(tiny_shards), "test", 3, tmp_path / "nowhere.csv")
