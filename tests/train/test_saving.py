"""Checkpoints: what is in one, which are kept, and the verbs that look at them."""

import json
import re
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from spt_dist import config
from spt_dist.cli import app
from spt_dist.infer import Predictor
from spt_dist.models.weights import CARD
from spt_dist.run_log import read_events
from spt_dist.train import checkpoint, saving
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import build_state

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


def trainer(settings, run, **how):
    prepare_run(settings, run, **{"resume": False, "ranks": 1, "engine": "PlainEngine", **how})
    return Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())


def train(settings, run):
    made = trainer(settings, run)
    made.train()
    return made


def spt(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_save_is_of_its_moment_and_does_not_wait_for_the_disk(tiny_config, tmp_path, monkeypatch):
    made, written, disk = trainer(tiny_config, tmp_path / "run"), saving.write, threading.Event()
    monkeypatch.setattr(saving, "write", lambda path, content: disk.wait(60) and written(path, content))
    before = {name: average.module.state_dict() for name, average in made.state.averages.items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    made.save()
    assert not made.saver.pending.done()
    assert checkpoint.all_of(made.run) == []
    for average in made.state.averages.values():
        for parameter in average.module.parameters():
            parameter.data.fill_(7)
    disk.set()
    assert made.saver.settle()
    (path,) = checkpoint.all_of(made.run)
    for name, state in before.items():
        saved = load_file(path / f"{name}-average.safetensors")
        assert saved.keys() == state.keys()
        assert all(torch.equal(saved[key], value) for key, value in state.items())


def test_a_checkpoint_that_gets_no_name_costs_itself_only(tiny_config, tmp_path, monkeypatch):
    made = trainer(tiny_config, tmp_path / "run")
    with monkeypatch.context() as full:
        full.setattr(checkpoint, "publish", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        made.save()
        assert not made.saver.settle()
    assert list((made.run / checkpoint.FOLDER).iterdir()) == []
    assert "No space left on device" in read_events(made.run)[-1]["what"]
    made.save()
    assert made.saver.settle()
    assert len(checkpoint.all_of(made.run)) == 1


def test_the_last_and_the_best_are_kept(tiny_config, tmp_path):
    train = replace(tiny_config.train, keep_checkpoints=1, keep_best=2, best_metric="L1 inside", evaluate_every_imgs=8)
    made = trainer(replace(tiny_config, train=train), tmp_path / "run")
    for images, score in ((8, 30.0), (16, 10.0), (24, 20.0), (32, None), (40, 25.0)):
        made.state.position.images = images
        made.validation.newest = (images, {"L1 inside": score}) if score else (0, {"L1 inside": 1.0})
        made.save()
        made.saver.settle()
    assert [int(path.name) for path in checkpoint.all_of(made.run)] == [16, 24, 40]
    ranked = saving.rank_by_score(checkpoint.all_of(made.run), "masked SSIM")
    assert ranked == []


def test_keeping_the_best_needs_their_scores(tiny_config, tmp_path):
    train = replace(tiny_config.train, keep_best=1, evaluate_every_imgs=12, checkpoint_every_imgs=8)
    with pytest.raises(config.ConfigError, match=r"`train.evaluate_every_imgs` = 12 must be a multiple"):
        trainer(replace(tiny_config, train=train), tmp_path / "run")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda file: file.unlink(), "`semantic/engine.pt` is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-5]), "`semantic/engine.pt` has [0-9]+ bytes instead of"),
        (lambda file: flip_a_bit(file), "`semantic/engine.pt` has other content than was written"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_passed_over(tiny_config, tmp_path, break_it, said):
    run = tmp_path / "run"
    train(tiny_config, run)
    older, newer = checkpoint.all_of(run)
    break_it(newer / "semantic" / "engine.pt")
    shown = spt("checkpoint", "verify", run)
    assert f"{older}: whole" in shown.output
    assert isinstance(shown.exception, ValueError)
    (told,) = checkpoint.damage(newer)
    assert re.search(said, told)
    resumed = trainer(tiny_config, run, resume=True)
    assert resumed.resume()
    assert resumed.state.position.images == int(older.name)
    assert any(f"`{newer}` is passed over" in event["what"] for event in read_events(run))
    break_it(older / "semantic" / "engine.pt")
    with pytest.raises(ValueError, match=r"no checkpoint of .* is whole"):
        trainer(tiny_config, run, resume=True)


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_checkpoint_of_another_run_is_gone_on_from_when_forced(tiny_config, tmp_path):
    run = tmp_path / "run"
    train(tiny_config, run)
    other = replace(tiny_config, losses=replace(tiny_config.losses, style=3.0))
    with pytest.raises(ValueError, match="add --force to go on from it all the same"):
        trainer(other, run, resume=True)
    assert trainer(other, run, resume=True, force=True).resume()
    assert "as forced: `losses.style` was 10.0 and is 3.0" in read_events(run)[-2]["what"]


def test_code_and_pairs_are_part_of_the_origin(tiny_config, tmp_path, monkeypatch):
    run, pairs = tmp_path / "run", tmp_path / "pairs.parquet"
    train(tiny_config, run)
    newest, _ = checkpoint.newest(run)
    made = trainer(tiny_config, tmp_path / "other")
    assert checkpoint.difference(newest, made.origin) == ""
    monkeypatch.setattr("spt_dist.__version__", "9.9.9")
    pairs.write_bytes(b"another index")
    settings = replace(tiny_config, data=replace(tiny_config.data, pseudo_pairs=str(pairs)))
    differs = checkpoint.difference(newest, checkpoint.Origin.of(settings, made.manifest, "PlainEngine"))
    assert "`code.spt-dist` was '0.1.0' and is '9.9.9'" in differs
    assert f"`pairs_hash` was '' and is '{checkpoint.sha256(pairs)}'" in differs


def test_an_exported_checkpoint_is_a_run(tiny_config, tmp_path):
    made = train(tiny_config, tmp_path / "run")
    assert spt("checkpoint", "export", tmp_path / "run", "-o", tmp_path / "last").exit_code == 0
    assert spt("checkpoint", "export", tmp_path / "run", "-o", tmp_path / "early", "--images", 24).exit_code == 0
    for kind in ("weights", "networks"):
        files = sorted((tmp_path / "run" / kind).glob("*.safetensors"))
        assert files
        for file in files:
            one, other = load_file(file), load_file(tmp_path / "last" / kind / file.name)
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)
    assert config.load_run(tmp_path / "last") == tiny_config
    assert json.loads((tmp_path / "early" / "weights" / CARD).read_text())["images"] == 24
    Predictor.load(tmp_path / "last" / "weights")
    started = replace(tiny_config, train=replace(tiny_config.train, start_from={"semantic": str(tmp_path / "last")}))
    taken = build_state(started, lambda network: PlainEngine(network, started.train), torch.device("cpu"))
    average = made.state.averages["semantic"].module.state_dict()
    semantic = taken.engines["semantic"].module.state_dict()
    assert all(torch.equal(semantic[key], value) for key, value in average.items())
    again = spt("checkpoint", "export", tmp_path / "run", "-o", tmp_path / "last")
    assert "holds something already" in str(again.exception)
    unknown = spt("checkpoint", "export", tmp_path / "run", "-o", tmp_path / "no", "--images", 5)
    assert "no checkpoint after 5 images; it has 24, 32" in str(unknown.exception)


def test_checkpoints_are_listed(tiny_config, tmp_path):
    settings = replace(tiny_config, train=replace(tiny_config.train, evaluate_every_imgs=8, keep_best=1))
    train(settings, tmp_path / "run")
    lines = spt("checkpoint", "ls", tmp_path / "run").output.splitlines()
    assert any("32" in line and "end_to_end, 8" in line and "masked SSIM" in line for line in lines), lines
    empty = spt("checkpoint", "ls", tmp_path)
    assert "has no checkpoints" in str(empty.exception)
