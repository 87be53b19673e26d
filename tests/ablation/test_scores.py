"""The benchmark's parts, on people: strata, references, scores, table; without training."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from spt_kernels.proof.pages import replace_between, require_between

from spt_dist import config
from spt_dist.ablation import drawing, run, scores, table, variants
from spt_dist.ablation.judges import Judges, Parser
from spt_dist.data.pipeline import read_split
from spt_dist.held_out import make_pairs
from spt_dist.models.pose_detector import PoseDetector


@pytest.fixture(scope="module")
def pairs(tiny_shards):
    return list(islice(make_pairs(list(read_split(tiny_shards, "test"))), 6))


@pytest.fixture(scope="module")
def judging():
    torch.manual_seed(0)
    return Judges(Parser(), PoseDetector(config.PoseDetector(width=4, blocks=1)))


def test_every_configuration_of_the_benchmark_can_be_read():
    for name, planned in variants.RUNS.items():
        overrides = tuple(f"{key}={run._toml(value)}" for key, value in planned.settings(1_000).items())
        settings = config.load(planned.config, overrides)
        seen = sum(stage.images for stage in vars(settings.stages).values())
        assert seen == (planned.root_images or 1_000), name
        assert set(planned.start.values()) <= variants.ROOTS.keys()
        assert settings.networks.features.normalise


def test_a_timed_run_gets_the_images_that_fit_into_our_time(tmp_path):
    plan = run.Plan.of(tmp_path, 1_000, range(1), (), 1, "")
    for name, seconds in {"ours": 30.0, "end_to_end": 20.0}.items():
        plan.folder(name, 0).mkdir(parents=True)
        lines = [{"terms": {}, "all_images": seen, "cpu_seconds": seconds / 2} for seen in (500, 1_000)]
        (plan.folder(name, 0) / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = run._settings(plan, variants.RUNS["end_to_end_timed"], 0)
    assert (settings["stages.appearance.images"], settings["stages.end_to_end.images"]) == (1_050, 450)
    assert run._images(plan, variants.RUNS["end_to_end"], 0) == 1_000


def test_runs_bring_along_what_they_need():
    assert variants.required(["end_to_end_timed"]) == {
        "end_to_end_timed", "end_to_end", "ours", "pose", "semantic", "ours_semantic",
    }  # fmt: skip
    assert variants.required(variants.EQUAL_IMAGES) >= variants.ROOTS.keys()


def test_runs_are_compared_on_the_same_terms_only(tmp_path):
    run._keep_terms(run.Plan.of(tmp_path, 1_000, range(1), (), 1, ""))
    run._keep_terms(run.Plan.of(tmp_path, 1_000, range(2), ("ours",), 2, ""))
    with pytest.raises(ValueError, match=r"began with .*1000.*, not .*2000"):
        run._keep_terms(run.Plan.of(tmp_path, 2_000, range(1), (), 1, ""))


def test_the_features_may_move_but_not_change(tmp_path):
    for name, content in (("a.npz", b"vgg"), ("b.npz", b"vgg"), ("c.npz", b"another")):
        (tmp_path / name).write_bytes(content)
    for name in ("a.npz", "b.npz"):
        run._keep_terms(run.Plan.of(tmp_path / "out", 1_000, range(1), (), 1, str(tmp_path / name)))
    with pytest.raises(ValueError, match="began with"):
        run._keep_terms(run.Plan.of(tmp_path / "out", 1_000, range(1), (), 1, str(tmp_path / "c.npz")))
    with pytest.raises(ValueError, match=r"cannot read the features `none.npz`"):
        run._keep_terms(run.Plan.of(tmp_path / "out", 1_000, range(1), (), 1, "none.npz"))


def test_the_shipped_preset_is_the_one_that_was_measured():
    shipped, measured = (config.load(path) for path in ("configs/demo.toml", variants.OURS))
    assert shipped.networks == measured.networks
    assert shipped.losses == measured.losses


def test_the_papers_configuration_has_nothing_of_our_own():
    networks, losses = config.load(variants.PAPER).networks, config.load(variants.PAPER).losses
    own = (networks.semantic.warped_input, networks.appearance.flat_colour_input, networks.appearance.blend)
    assert own == (False, False, ())
    assert networks.appearance.max_stretch is None
    assert losses.region_colour == losses.reconstruction == 0


def test_references_know_their_truth(pairs, judging):
    test, strata = drawing.Test.of(pairs), [scores.stratum(pair) for pair in pairs]
    found = {
        name: scores.score(shown.images, shown.labels, test.target, strata, judging)
        for name, shown in drawing.references(test).items()
    }
    real, flat, copied = (found[name] for name in (drawing.REAL, drawing.FLAT_TRUE, drawing.COPIED))
    assert real[scores.ALL, scores.L1] == 0
    assert real[scores.ALL, scores.SSIM_INSIDE] == pytest.approx(1)
    assert real[scores.ALL, scores.PARSING] == flat[scores.ALL, scores.PARSING] == 1
    assert flat[scores.ALL, scores.L1] < copied[scores.ALL, scores.L1]
    assert 0 < copied[scores.ALL, scores.PARSING] < 1
    assert real[scores.ALL, scores.POSE] > 0  # the judge has learned nothing
    assert {name for name, _ in real} == {scores.ALL, *strata}


def test_the_overall_score_is_the_mean_over_strata(pairs, judging):
    test, strata = drawing.Test.of(pairs), [scores.stratum(pair) for pair in pairs]
    found = scores.score(test.source.images, None, test.target, strata, judging)
    by_stratum = sum(found[name, scores.L1] * strata.count(name) for name in set(strata)) / len(strata)
    assert found[scores.ALL, scores.L1] == pytest.approx(by_stratum, rel=1e-5)


def test_pose_errors_are_distances_in_px(judging):
    class Detector(PoseDetector):
        def forward(self, image):
            maps = torch.zeros(len(image), 18, 8, 8)
            maps[:, :, 2, 5] = 1  # y, x
            return maps

    judge = Judges(judging.parser, Detector(config.PoseDetector(width=4, blocks=1)))
    joints = torch.zeros(1, 18, 3)
    joints[0, 0], joints[0, 1] = torch.tensor([5.0, 2.0, 1]), torch.tensor([8.0, 6.0, 1])
    assert judge.pose_errors(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), joints).item() == pytest.approx(2.5)


def test_rows_of_one_run_show_each_map(pairs, tiny_run, tiny_shards):
    from spt_dist.data.pairs import PseudoPairs
    from spt_dist.infer import Predictor

    test, pseudo_pairs = drawing.Test.of(pairs), PseudoPairs.from_shards(tiny_shards, "train")
    predictor = Predictor.load(tiny_run / "weights")
    shown = {maps: drawing.draw(predictor, test, maps, pseudo_pairs) for maps in ("predicted", "true", "pseudo")}
    assert (shown["true"].labels == test.target.labels).all()
    assert (shown["pseudo"].labels != test.target.labels).any()
    assert (shown["predicted"].images != shown["true"].images).any()
    flat = drawing.flat_in(shown["true"], test)
    assert (flat.images == drawing.references(test)[drawing.FLAT_TRUE].images).all()


def rows_of(variant, seed, value):
    about = {"variant": variant, "seed": seed, "images": 8, "cpu_seconds": 2.0}
    return [
        about | {"stratum": stratum, "metric": metric, "value": value}
        for stratum in scores.STRATA
        for metric in table.COLUMNS
    ]


def test_the_table_gives_means_and_spreads_and_renews_its_page(tmp_path):
    rows = rows_of("Ours", 0, 0.25) + rows_of("Ours", 1, 0.75) + rows_of(drawing.REAL, None, 1.0)
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- ablation -->\nold\n<!-- /ablation -->\nafter\n")
    replace_between(page, table.PLACE, table.markdown(rows))
    text = page.read_text()
    assert text.startswith("before\n<!-- ablation -->\n")
    assert text.endswith("<!-- /ablation -->\nafter\n")
    assert "old" not in text
    assert "| Ours | 8 | 2 | 0.500 ± 0.250 |" in text
    assert f"| {drawing.REAL} | 8 | 2 | 1.000 |" in text


def test_a_run_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ValueError, match="no run oours; the runs are pose, semantic"):
        run.Plan.of(tmp_path, 8, range(1), ("oours",), 1, "")


def test_the_readme_has_a_place_for_the_table_and_no_page_without_one_is_accepted(tmp_path):
    assert require_between(Path("README.md"), table.PLACE)
    bare = tmp_path / "bare.md"
    bare.write_text("no markers")
    plan = run.Plan.of(tmp_path / "out", 8, range(1), ("ours",), 1, "")
    with pytest.raises(ValueError, match="lacks the lines `<!-- ablation -->`"):
        run.run_ablation(plan, "test", 8, lambda *state: None, None, None, bare)
    assert not plan.out.exists()  # said before anything is drawn
