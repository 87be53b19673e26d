"""Validation while a run trains: the averages' scores, the best of them kept, and no number of the training moved."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spt_dist import config, metrics
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import collate
from spt_dist.evaluation import MIOU
from spt_dist.held_out import OWN_POSE, TRUE_TARGET, Chosen, make_pairs
from spt_dist.infer import Predictor
from spt_dist.models.inputs import to_bytes
from spt_dist.models.weights import CARD, weights_folder
from spt_dist.run_log import read_log, read_scores
from spt_dist.train import export, validation
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks
from spt_dist.train.validation import open_validation

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


def validating(settings, **train):
    train = {"evaluate_every_imgs": 4, "checkpoint_every_imgs": 4, "keep_checkpoints": 100} | train
    return replace(settings, train=replace(settings.train, **train), evaluation=config.Evaluation(validation_pairs=3))


def trainer(settings, run, resume=False):
    prepare_run(settings, run, resume=resume, ranks=1, engine="PlainEngine")
    made = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    assert made.resume() == resume
    return made


def trained(settings, run):
    trainer(settings, run).train()
    return run


def terms(run):
    return [(line["all_images"], line["terms"]) for line in read_log(run / "log.jsonl")]


def told(run):
    lines = read_scores(run / "log.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def parameters(run, folder="weights"):
    return {name: load_file(run / folder / f"{name}.safetensors") for name in ("semantic", "appearance")}


def assert_same_weights(one, other):
    for name, state in one.items():
        assert all(torch.equal(value, other[name][key]) for key, value in state.items()), name


@pytest.fixture
def validated(tiny_config, tmp_path):
    return trained(validating(tiny_config), tmp_path / "validated")


def test_training_is_bit_equal_with_and_without(tiny_config, validated, tmp_path):
    assert any(tiny_config.networks.appearance.dropout for _ in terms(validated))  # random numbers are drawn
    without = trained(validating(tiny_config, evaluate_every_imgs=0), tmp_path / "without")
    assert terms(validated) == terms(without)
    assert_same_weights(parameters(validated), parameters(without))
    assert told(without) == []
    assert not (without / "weights-best").exists()


def test_the_random_state_is_left_alone(tiny_config, tmp_path, monkeypatch):
    made = trainer(validating(tiny_config), tmp_path / "run")
    made.state.position.stage = "appearance"
    inner = validation.validate

    def careless(*arguments):
        torch.rand(1)
        return inner(*arguments)

    monkeypatch.setattr(validation, "validate", careless)
    before = torch.get_rng_state()
    made.validation.run(made.state, made.log, made.origin)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None and p.requires_grad for e in made.state.engines.values() for p in e.module.parameters())


def test_scores_are_those_of_the_averages_on_the_first_pairs(tiny_config, tiny_shards, validated):
    lines = told(validated)
    assert [(line["stage"], line["all_images"]) for line in lines] == [
        ("semantic", 12), ("semantic", 16), ("appearance", 20), ("appearance", 24), ("end_to_end", 28),
        ("end_to_end", 32),
    ]  # fmt: skip
    pairs = [pair for pair in make_pairs(list(read_split(tiny_shards, "val"))) if pair.true][:3]
    predictor = Predictor.load(validated / "weights")
    source, target = (collate([pair[side] for pair in pairs]) for side in (0, 1))
    image, parsing = predictor.draw(source.images, source.labels, source.joints, target.joints)
    last = lines[-1]
    assert (last["against"], last["pairs"]) == (TRUE_TARGET, 3)
    wanted = metrics.masked_ssim(to_bytes(image), target.images, target.joints).mean().item()
    assert last["scores"]["masked SSIM"] == pytest.approx(wanted, abs=1e-5)
    overlap = metrics.mean_iou(parsing.argmax(1).to(torch.uint8), target.labels)
    assert last["scores"][MIOU] == pytest.approx(overlap, abs=1e-5)
    assert all(set(line["scores"]) == {MIOU} for line in lines[:2])  # H_A has not been trained yet
    board = EventAccumulator(str(validated / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("validation/masked SSIM")]
    assert shown == [(line["all_images"], pytest.approx(line["scores"]["masked SSIM"])) for line in lines[2:]]


@pytest.mark.parametrize(("metric", "choose"), [("masked SSIM", max), ("L1 inside", min)])
def test_the_best_averages_are_kept_with_their_score(tiny_config, tmp_path, metric, choose):
    run = trained(validating(tiny_config, best_metric=metric), tmp_path / "run")
    values = {line["all_images"]: line["scores"][metric] for line in told(run) if metric in line["scores"]}
    images = choose(values, key=values.__getitem__)
    folder = weights_folder(run, "best")
    card = json.loads((folder / CARD).read_text())
    assert card["images"] == card["chosen_by"]["images"] == images
    assert card["chosen_by"]["metric"] == metric
    assert card["chosen_by"]["value"] == pytest.approx(values[images], abs=1e-6)
    for name in ("semantic", "appearance"):
        average = load_file(run / "checkpoints" / f"{images:012d}" / f"{name}-average.safetensors")
        kept = load_file(folder / f"{name}.safetensors")
        assert all(torch.equal(average[key], value) for key, value in kept.items())
    assert Predictor.load(folder).size == (32, 16)
    assert not list(run.glob(".writing*"))


def test_a_resumed_run_tells_and_keeps_the_same(tiny_config, validated, tmp_path):
    shutil.copytree(validated, tmp_path / "broken")
    for path in (tmp_path / "broken" / "checkpoints").iterdir():
        if int(path.name) > 20:
            shutil.rmtree(path)
    settings = validating(tiny_config)
    trainer(settings, tmp_path / "broken", resume=True).train()
    assert told(tmp_path / "broken") == told(validated)
    assert terms(tmp_path / "broken") == terms(validated)
    assert_same_weights(parameters(tmp_path / "broken", "weights-best"), parameters(validated, "weights-best"))
    telling_otherwise = validating(tiny_config, evaluate_every_imgs=8, best_metric="L1 inside")
    trainer(telling_otherwise, tmp_path / "broken", resume=True)


def test_a_broken_export_leaves_the_best_as_it_was(tiny_config, validated, monkeypatch):
    before = parameters(validated, "weights-best")
    made = trainer(validating(tiny_config), validated, resume=True)
    monkeypatch.setattr(export, "save_weights", lambda *parts: (_ for _ in ()).throw(OSError("disk full")))
    monkeypatch.setattr(validation, "validate", lambda *parts: {"masked SSIM": 2.0, MIOU: 1.0})
    with pytest.raises(OSError, match="disk full"):
        made.validation.run(made.state, made.log, made.origin)
    assert_same_weights(before, parameters(validated, "weights-best"))
    assert Predictor.load(weights_folder(validated, "best")).size == (32, 16)


def test_only_the_leading_rank_validates(tiny_config, tmp_path):
    assert open_validation(validating(tiny_config), tmp_path, Ranks(1, 2)) is None
    assert open_validation(validating(tiny_config, evaluate_every_imgs=0), tmp_path, Ranks()) is None
    assert open_validation(validating(tiny_config), tmp_path, Ranks(0, 2)) is not None


def test_strangers_are_scored_in_their_own_pose(tiny_shards):
    strangers = [replace(sample, identity=None) for sample in read_split(tiny_shards, "val")]
    chosen = Chosen.of(list(make_pairs(strangers)))
    assert chosen.against == OWN_POSE
    assert all(pair.source is pair.target for pair in chosen.pairs)


def test_an_unknown_metric_is_refused_and_a_missing_split_said(tiny_config, tmp_path, monkeypatch):
    with pytest.raises(config.ConfigError, match=r"`train\.best_metric` = 'beauty'.*masked SSIM, L1 inside, parsing"):
        trainer(validating(tiny_config, best_metric="beauty"), tmp_path / "run")
    monkeypatch.setattr(validation, "SPLIT", "elsewhere")
    with pytest.warns(UserWarning, match=r"`train\.evaluate_every_imgs` = 4 is ignored"):
        made = trainer(validating(tiny_config), tmp_path / "run")
    assert made.validation is None


def test_a_run_without_best_weights_says_so(tiny_run):
    with pytest.raises(ValueError, match=r"has no best weights: they are kept while H_A trains"):
        weights_folder(tiny_run, "best")
    with pytest.raises(ValueError, match="there are no `worst` weights; give last or best"):
        weights_folder(tiny_run, "worst")
