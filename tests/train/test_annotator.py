"""A run of the annotator: the usual loop, checkpoints and validation, and one network."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from spt_dist import config
from spt_dist.annotate.own import OwnAnnotator
from spt_dist.infer import Predictor
from spt_dist.run_log import read_log, read_scores
from spt_dist.train import checkpoint
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks


@pytest.fixture(scope="module")
def settings(tiny_config):
    stage = config.Stage(images=24, learning_rate=3e-3, decay=0.5)
    network = config.Annotator(size=(32, 24), widths=(4, 6, 8), blocks=1, label_weights={"l_arm": 2.0})
    train = replace(tiny_config.train, checkpoint_every_imgs=4, keep_checkpoints=100, evaluate_every_imgs=8)
    return replace(
        tiny_config,
        networks=replace(tiny_config.networks, annotator=network),
        stages=config.Stages(annotator=stage),
        train=train,
        evaluation=config.Evaluation(validation_pairs=3),
    )


def trainer(settings, run, resume=False):
    prepare_run(settings, run, resume=resume, ranks=1, engine="PlainEngine")
    made = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    assert made.resume() == resume
    return made


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    run = tmp_path_factory.mktemp("annotator") / "run"
    trainer(settings, run).train()
    return run


def trace(run):
    return [(line["stage"], line["all_images"], line["terms"]) for line in read_log(run / "log.jsonl")]


def test_one_network_is_trained_kept_and_given_away(trained):
    lines = trace(trained)
    assert [(stage, images) for stage, images, _ in lines] == [("annotator", n) for n in range(4, 25, 4)]
    assert set(lines[0][2]) == {"annotator/heatmaps", "annotator/parsing"}
    assert lines[-1][2]["annotator/parsing"] < 0.7 * lines[0][2]["annotator/parsing"]
    newest, _ = checkpoint.newest(trained)
    assert {path.name for path in newest.iterdir()} == {
        "annotator", "annotator-average.safetensors", "meta.json", "sums-0.json",
    }  # fmt: skip
    assert [path.name for path in (trained / "networks").iterdir()] == ["annotator.safetensors"]
    assert OwnAnnotator.load(trained / "weights").size == (32, 24)


def test_its_average_is_scored_as_it_goes(trained):
    scores = read_scores(trained / "log.jsonl")
    assert [line["all_images"] for line in scores] == [8, 16, 24]
    assert set(scores[0]["scores"]) == {"PCK@0.1", "PCK@0.2", "parsing mIoU"}
    assert scores[-1]["pictures"] == 3
    kept = json.loads((trained / "checkpoints" / f"{24:012d}" / "meta.json").read_text())["scores"]
    assert kept == pytest.approx(scores[-1]["scores"], abs=1e-6)


def test_resume_is_bit_equal(settings, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "broken")
    for path in (tmp_path / "broken" / "checkpoints").iterdir():
        if int(path.name) > 12:
            shutil.rmtree(path)
    resumed = trainer(settings, tmp_path / "broken", resume=True)
    assert resumed.state.position.images == 12
    resumed.train()
    assert trace(tmp_path / "broken") == trace(trained)
    ours, theirs = (load_file(run / "weights" / "annotator.safetensors") for run in (tmp_path / "broken", trained))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": {"annotator": {"images": 4}}}, r"`stages.annotator.images` = 4, but the run has no `networks.ann"),
        ({"stages": {"pose": {"images": 4}}, "networks": {"annotator": {}}}, r"`stages.pose.images` is above 0"),
        ({"networks": {"annotator": {"size": [50, 30]}}}, r"the annotator cannot take 50x30 px"),
        ({"networks": {"annotator": {"scales": [1.5, 1.0]}}}, r"`networks.annotator.scales` = \(1.5, 1.0\)"),
        ({"networks": {"annotator": {"label_weights": {"nose": 1}}}}, r"`label_weights` names \['nose'\]"),
    ],
)
def test_a_configuration_that_cannot_train_is_refused_before(tiny_config, tmp_path, change, message):
    tree = config.to_tree(replace(tiny_config, stages=config.Stages()))
    for section, values in change.items():
        tree[section] |= values
    with pytest.raises(ValueError, match=message):
        prepare_run(config.from_tree(tree), tmp_path / "run", resume=False, ranks=1, engine="PlainEngine")
    assert not (tmp_path / "run").exists()


def test_a_run_without_one_is_what_it_was(tiny_config):
    from spt_dist.train.state import Position, build_networks, stages_of

    assert "annotator" not in build_networks(tiny_config.networks, 0)
    assert list(stages_of(tiny_config.networks)) == ["pose", "semantic", "appearance", "end_to_end"]
    assert Position().stage == "pose"


@pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")
def test_checkpoints_from_before_there_were_annotators_go_on(tiny_config, tmp_path):
    made = trainer(tiny_config, tmp_path / "run")
    made.save()
    made.saver.settle()
    newest, _ = checkpoint.newest(tmp_path / "run")
    meta = json.loads((newest / "meta.json").read_text())
    settings = meta["origin"]["settings"]
    for key in [key for key in settings if "annotator" in key]:
        del settings[key]
    (newest / "meta.json").write_text(json.dumps(meta))
    assert checkpoint.difference(newest, made.origin) == ""
    settings["losses.style"] = 2.5
    (newest / "meta.json").write_text(json.dumps(meta))
    assert "`losses.style` was 2.5 and is 10" in checkpoint.difference(newest, made.origin)


def test_weights_of_the_wrong_kind_are_refused_by_name(trained, tiny_run):
    with pytest.raises(ValueError, match=r"semantic, appearance and no annotator"):
        OwnAnnotator.load(tiny_run / "weights")
    with pytest.raises(ValueError, match=r"lacks the weights of \['appearance', 'semantic'\]"):
        Predictor.load(trained / "weights")
