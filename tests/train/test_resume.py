"""Training that was broken off goes on exactly where it was: 4 steps = 2 + resume + 2, bit for bit."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from spt_dist import config
from spt_dist.run_log import read_events
from spt_dist.train import checkpoint
from spt_dist.train.engine import PlainEngine
from spt_dist.train.log import NonFiniteLossError
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


def trainer(settings, run, resume=False):
    prepare_run(settings, run, resume=resume, ranks=1, engine="PlainEngine")
    made = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    assert made.resume() == resume
    return made


def save(made):
    """Save, and wait for it; the checkpoint that is then the newest."""
    made.save()
    made.saver.settle()
    return checkpoint.newest(made.run)[0]


def trace(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["all_images"], line["terms"]) for line in lines]


def parameters(made):
    engines = {name: engine.module for name, engine in made.state.engines.items()}
    averages = {f"{name} average": average.module for name, average in made.state.averages.items()}
    return {n: torch.cat([p.detach().flatten() for p in m.parameters()]) for n, m in (engines | averages).items()}


@pytest.mark.parametrize("reader", ["webdataset", "dali"])
@pytest.mark.parametrize("broken_at", [8, 20])  # between two stages, and in the middle of one
def test_resume_is_bit_equal(tiny_config, tmp_path, reader, broken_at):
    if reader == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI is for Linux x86_64 only")
    settings = replace(tiny_config, data=replace(tiny_config.data, reader=reader))
    every = replace(settings, train=replace(settings.train, checkpoint_every_imgs=4, keep_checkpoints=100))
    whole = trainer(every, tmp_path / "whole")
    whole.train()
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    for path in (tmp_path / "broken" / "checkpoints").iterdir():
        if int(path.name) > broken_at:
            shutil.rmtree(path)
    resumed = trainer(every, tmp_path / "broken", resume=True)
    assert resumed.state.position.images == broken_at
    resumed.train()
    assert trace(tmp_path / "broken") == trace(tmp_path / "whole")
    assert [images for images, _ in trace(tmp_path / "whole")] == [4, 8, 12, 16, 20, 24, 28, 32]
    for name, values in parameters(whole).items():
        assert torch.equal(values, parameters(resumed)[name]), name


def test_a_broken_save_leaves_the_last_checkpoint(tiny_config, tmp_path, monkeypatch):
    made = trainer(tiny_config, tmp_path / "run")
    first = save(made)
    made.state.position.images = 8
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert save(made) == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    assert read_events(made.run)[-1]["what"].endswith("the one before stays the newest: disk full")
    monkeypatch.undo()
    assert save(made).name == "000000000008"


def test_only_the_newest_checkpoints_are_kept(tiny_config, tmp_path):
    made = trainer(tiny_config, tmp_path / "run")
    for images in (4, 8, 12):
        made.state.position.images = images
        save(made)
    assert sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()) == [8, 12]


def test_a_checkpoint_of_another_config_is_refused_and_nothing_is_overwritten(tiny_config, tmp_path):
    save(trainer(tiny_config, tmp_path / "run"))
    other = replace(tiny_config, losses=replace(tiny_config.losses, style=3.0))
    with pytest.raises(ValueError, match=r"`losses\.style` was 10\.0 and is 3\.0.*start a new run"):
        trainer(other, tmp_path / "run", resume=True)
    assert config.load_run(tmp_path / "run") == tiny_config
    with pytest.raises(ValueError, match=r"`engine` was 'PlainEngine' and is 'DeepSpeedEngine'"):
        prepare_run(tiny_config, tmp_path / "run", resume=True, ranks=2, engine="DeepSpeedEngine")
    telling_more = replace(tiny_config, train=replace(tiny_config.train, report_every_imgs=8))
    trainer(telling_more, tmp_path / "run", resume=True)


def test_a_broken_network_is_not_saved(tiny_config, tmp_path):
    made = trainer(tiny_config, tmp_path / "run")
    kept = save(made)
    made.state.position.images = 4
    with torch.no_grad():
        next(made.state.engines["appearance"].module.parameters()).view(-1)[0] = float("inf")
    with pytest.raises(NonFiniteLossError, match="`appearance` has non-finite weights"):
        made.save()
    assert checkpoint.newest(made.run)[0] == kept


def test_a_half_written_report_is_written_again(tiny_config, tmp_path):
    run = tmp_path / "run"
    trainer(tiny_config, run).train()
    whole = trace(run)
    for path in (run / "checkpoints").iterdir():
        if int(path.name) > 24:
            shutil.rmtree(path)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"stage": "end_to_')
    trainer(tiny_config, run, resume=True).train()
    assert trace(run) == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"image_size": (30, 16)}}, r"hold \(32, 16\) px"),
        ({"networks": {"semantic": config.Semantic(widths=(4, 4, 4, 4, 4, 4))}}, "H_S cannot take 32x16 px"),
        ({"networks": {"semantic": config.Semantic(widths=(4, 6), label_weights={"arm": 2.0})}}, r"names \['arm'\]"),
        ({"networks": {"discriminator": config.Discriminator(widths=(4, 4, 4, 4))}}, "cannot judge 32x16 px"),
        ({"networks": {"appearance": config.Appearance(widths=(4, 6))}}, "`warped_levels` is 4"),
        ({"data": {"batch": 30}}, "24 samples"),
        ({"data": {"true_targets": True, "pseudo_pairs": "pairs.parquet"}}, "'pairs.parquet' would never be read"),
    ],
)
def test_what_would_stop_a_worker_stops_before(tiny_config, tmp_path, change, said):
    ((section, values),) = change.items()
    settings = replace(tiny_config, **{section: replace(getattr(tiny_config, section), **values)})
    with pytest.raises(ValueError, match=said):
        prepare_run(settings, tmp_path / "run", resume=False, ranks=1, engine="PlainEngine")
    assert not (tmp_path / "run").exists()


def test_a_taken_run_folder_is_refused(tiny_config, tmp_path):
    save(trainer(tiny_config, tmp_path / "run"))
    with pytest.raises(config.ConfigError, match="holds a run already; add --resume"):
        prepare_run(tiny_config, tmp_path / "run", resume=False, ranks=1, engine="PlainEngine")


def test_a_non_finite_loss_stops_and_keeps_the_checkpoint(tiny_config, tmp_path):
    made = trainer(tiny_config, tmp_path / "run")
    kept = save(made)
    with torch.no_grad():
        next(made.state.engines["pose_detector"].module.parameters()).fill_(float("nan"))
    with pytest.raises(
        NonFiniteLossError, match=r"pose_detector/heatmaps became non-finite in stage `pose` at 4 images"
    ):
        made.train()
    assert checkpoint.newest(made.run)[0] == kept


def test_the_run_folder_says_what_made_it(tiny_config, tmp_path):
    made = trainer(tiny_config, tmp_path / "run")
    meta = json.loads((save(made) / "meta.json").read_text())
    assert config.from_tree(meta["config"]) == tiny_config
    assert meta["origin"]["data_hash"] == made.manifest.data_hash
    assert meta["versions"]["torch"] == torch.__version__
    assert config.load_run(tmp_path / "run") == tiny_config
