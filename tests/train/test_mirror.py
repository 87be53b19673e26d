"""A run's second place: on another disk, and on a server that speaks S3."""

import shutil
from dataclasses import replace

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from run_folders import events, losses

from spt_dist import config
from spt_dist.train import checkpoint
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.mirror import Mirror
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(params=["file", "s3"])
def uri(request, tmp_path, monkeypatch):
    """An empty place; for S3 a real server on loopback."""
    if request.param == "file":
        yield f"file://{tmp_path}/mirror"
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    bucket = f"runs-{port}"
    at = {"scheme": "http", "endpoint_override": f"{host}:{port}", "region": "us-east-1"}
    fs.S3FileSystem(allow_bucket_creation=True, **at).create_dir(bucket)
    yield f"s3://{bucket}/mine?" + "&".join(f"{key}={value}" for key, value in at.items())
    server.stop()


def trainer(settings, run, resume=False):
    prepare_run(settings, run, resume=resume, ranks=1, engine="PlainEngine")
    made = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    made.resume()
    return made


def test_a_run_goes_on_from_its_mirror_alone(tiny_config, tmp_path, uri):
    settings = replace(tiny_config, train=replace(tiny_config.train, mirror=uri, keep_checkpoints=2))
    run, elsewhere, mirror = tmp_path / "run", tmp_path / "elsewhere", Mirror(uri)
    trainer(settings, run).train()
    kept = [path.name for path in checkpoint.all_of(run)]
    assert mirror.checkpoints() == kept
    assert len(kept) == 2
    for name in ("weights/card.json", "weights/appearance.safetensors", "networks/semantic.safetensors", "log.jsonl"):
        assert mirror.files.get_file_info(f"{mirror.root}/{name}").size == (run / name).stat().st_size

    mirror.files.delete_file(f"{mirror.root}/checkpoints/{kept[1]}/meta.json")  # as if the copy had not come to its end
    resumed = trainer(settings, elsewhere, resume=True)
    assert [path.name for path in checkpoint.all_of(elsewhere)] == kept[:1]
    assert resumed.state.position.images == int(kept[0])
    resumed.train()
    assert losses(elsewhere) == losses(run)
    assert events(elsewhere, "goes on after")
    assert mirror.checkpoints() == kept


def test_a_damaged_copy_is_passed_over(tiny_config, tmp_path, uri):
    settings = replace(tiny_config, train=replace(tiny_config.train, mirror=uri, keep_checkpoints=2))
    trainer(settings, tmp_path / "run").train()
    mirror, (older, newer) = Mirror(uri), checkpoint.all_of(tmp_path / "run")
    with mirror.files.open_output_stream(f"{mirror.root}/checkpoints/{newer.name}/semantic/engine.pt") as file:
        file.write(b"half")
    assert trainer(settings, tmp_path / "elsewhere", resume=True).state.position.images == int(older.name)


def test_a_taken_mirror_and_no_storage_are_refused(tiny_config, tmp_path):
    settings = replace(tiny_config, train=replace(tiny_config.train, mirror=f"file://{tmp_path}/mirror"))
    trainer(settings, tmp_path / "run").train()
    with pytest.raises(config.ConfigError, match="holds a run already; add --resume, or name another mirror"):
        trainer(settings, tmp_path / "other")
    wrong = replace(settings, train=replace(settings.train, mirror="ftp//nowhere"))
    with pytest.raises(config.ConfigError, match=r"`train\.mirror` = 'ftp//nowhere' is no storage"):
        trainer(wrong, tmp_path / "third")
    with pytest.raises(config.ConfigError, match="holds keys, and is saved with every checkpoint"):
        Mirror("s3://key:secret@bucket/run")


def test_a_lost_mirror_costs_the_copies_only(tiny_config, tmp_path):
    place = tmp_path / "mirror"
    settings = replace(tiny_config, train=replace(tiny_config.train, mirror=f"file://{place}"))
    made = trainer(settings, tmp_path / "run")
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("a file where a folder was")
    made.save()
    assert made.saver.settle()
    assert len(checkpoint.all_of(made.run)) == 1
    assert events(made.run, f"a copy to `file://{place}` failed")
