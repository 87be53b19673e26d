"""`spt ablation` from people to table, small: real trainings, each in a process of its own."""

import json

import pytest

from spt_dist.ablation import judges, run, variants
from spt_dist.ablation.scores import ALL, PARSING, STRATA

pytestmark = pytest.mark.slow


@pytest.fixture
def small(monkeypatch):
    """A few people, and as many images as fill two batches."""
    monkeypatch.setattr(run, "PEOPLE", 24)
    monkeypatch.setattr(run, "HELD_OUT", 4)
    monkeypatch.setattr(judges, "PEOPLE", 16)
    monkeypatch.setattr(judges, "IMAGES", {"parser": 32, "pose": 32})
    for name in variants.ROOTS:
        monkeypatch.setitem(variants.RUNS, name, variants.RUNS[name]._replace(root_images=16))


def test_the_benchmark_trains_scores_and_goes_on_where_it_stopped(small, tmp_path):
    page, json_file, plot = tmp_path / "page.md", tmp_path / "new" / "rows.json", tmp_path / "shown.png"
    page.write_text("<!-- ablation -->\n<!-- /ablation -->\n")
    plan = run.Plan.of(tmp_path / "out", 16, range(1), ("ours",), 2, "")
    said = []
    run.run_ablation(plan, "test", 8, lambda *state: said.append(state), json_file, plot, page)
    rows = json.loads(json_file.read_text())
    assert set(rows[0]) == {"variant", "seed", "images", "cpu_seconds", "stratum", "metric", "value"}
    assert {row["stratum"] for row in rows} <= set(STRATA)
    ours = [row for row in rows if row["variant"] == "Ours"]
    assert {(row["seed"], row["images"]) for row in ours} == {(0, 16)}
    assert all(row["cpu_seconds"] > 0 for row in ours)
    assert any((row["stratum"], row["metric"]) == (ALL, PARSING) for row in ours)
    for name in ("Ours", "Ours, true map", "flat colours, H_S map (ours)", "the real picture"):
        assert f"| {name} |" in page.read_text()
    assert plot.stat().st_size > 1_000
    assert {"seed 0, pose", "seed 0, ours_semantic", "seed 0, ours"} <= {what for what, *_ in said}

    weights = {path: path.stat().st_mtime_ns for path in plan.out.rglob("*.safetensors")}
    assert len(weights) > 10
    run.run_ablation(plan, "test", 8, lambda *state: None, None, None, None)
    assert weights == {path: path.stat().st_mtime_ns for path in plan.out.rglob("*.safetensors")}
    assert json.loads(plan.rows("test").read_text()) == rows


def test_a_run_that_fails_says_where_its_reason_stands(small, tmp_path):
    plan = run.Plan.of(tmp_path / "out", 16, range(1), ("ours",), 1, "nowhere.npz")
    run.make_people(plan, lambda *state: None)
    with pytest.raises(RuntimeError, match=r"`pose` with seed 0 failed: `.*pose.txt` says why"):
        run.train(plan, lambda *state: None)
    assert "cannot read `networks.features.weights`" in (plan.out / "seed_0" / "pose.txt").read_text()
