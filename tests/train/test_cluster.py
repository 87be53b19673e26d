"""What happens to runs on Ray: workers, nodes and drivers are killed, nodes come; each run ends by itself.

Losses are the unbroken run's, bit for bit at the same size. Every test starts a Ray of its own on this machine.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from processes import wait_for
from run_folders import events, losses, reached, stopped_in_a_save, write_toml

from spt_dist import config
from spt_dist.train import checkpoint

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SPT = str(Path(sys.executable).with_name("spt"))
BATCH, BROKEN_AT, START_S = 4, 24, 180


@pytest.fixture(scope="module")
def settings(tiny_config):
    """Two workers, every step told, saved at every fourth; long enough to be caught in the middle."""
    stages = {name: config.Stage(24, 1e-4, 1e-4) for name in ("pose", "semantic", "end_to_end")}
    stages["appearance"] = config.Stage(600, 1e-4, 1e-4)
    train = replace(tiny_config.train, workers=2, report_every_imgs=BATCH, checkpoint_every_imgs=4 * BATCH)
    train = replace(train, picture_every_imgs=10_000, stall_s=20.0)
    return replace(tiny_config, stages=config.Stages(**stages), train=train)


def spt_train(toml, run, *words, **environment):
    """The command, as a user starts it."""
    command = [SPT, "train", str(toml), "-o", str(run), *words]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def caught_training(settings, folder):
    """A run in its middle: its process, its folder, and the words that started it."""
    run = folder / "run"
    command = write_toml(settings, folder / "tiny.toml"), run
    training = spt_train(*command)
    wait_for(lambda: reached(run, BROKEN_AT), "the log", START_S)
    return training, run, command


def finish(training, timeout_s=600):
    said, _ = training.communicate(timeout=timeout_s)
    return training.returncode, said


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    code, said = finish(spt_train(write_toml(settings, folder / "tiny.toml"), folder / "whole"))
    assert code == 0, said
    return losses(folder / "whole")


def pid_of(run, rank):
    """The process that a rank began in last."""
    return [event["pid"] for event in events(run, f"rank {rank} of") if "pid" in event][-1]


def test_a_killed_worker_is_started_again(settings, whole, tmp_path):
    training, run, _ = caught_training(settings, tmp_path)
    os.kill(pid_of(run, 1), signal.SIGKILL)
    code, said = finish(training)
    assert code == 0, said
    assert losses(run) == whole
    assert len(events(run, "goes on after")) == 2
    assert events(run, "rank 1 failed")


def test_a_worker_killed_in_a_save_leaves_the_one_before(settings, whole, tmp_path):
    settings = replace(settings, train=replace(settings.train, checkpoint_every_imgs=BATCH))
    training, run, _ = caught_training(settings, tmp_path)
    pid = pid_of(run, 1)
    wait_for(lambda: stopped_in_a_save(run, 1, pid), "a save")
    os.kill(pid, signal.SIGKILL)
    code, said = finish(training)
    assert code == 0, said
    assert losses(run) == whole
    assert events(run, "rank 1 failed")
    assert not list((run / checkpoint.FOLDER).glob(f"{checkpoint.HIDDEN}*"))


def test_a_frozen_worker_is_named_and_replaced(settings, whole, tmp_path):
    training, run, _ = caught_training(settings, tmp_path)
    os.kill(pid_of(run, 1), signal.SIGSTOP)
    code, said = finish(training)
    assert code == 0, said
    assert events(run, "rank 1 is frozen or gone")
    assert (run / "stalls" / "0.txt").stat().st_size
    assert losses(run) == whole


def test_a_killed_driver_is_started_again_by_its_user(settings, whole, tmp_path):
    training, run, command = caught_training(settings, tmp_path)
    training.kill()
    finish(training)
    workers = [pid_of(run, rank) for rank in range(2)]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers' end", 60)
    assert losses(run) != whole
    code, said = finish(spt_train(*command, "--resume"))
    assert code == 0, said
    assert losses(run) == whole


def test_sigterm_saves_on_all_workers_and_ends_well(settings, whole, tmp_path):
    training, run, command = caught_training(settings, tmp_path)
    training.send_signal(signal.SIGTERM)
    code, said = finish(training)
    assert (code, "stopped as asked" in said) == (0, True), said
    assert int(checkpoint.newest(run)[0].name) == losses(run)[-1][0] < whole[-1][0]
    code, said = finish(spt_train(*command, "--resume"))
    assert code == 0, said
    assert losses(run) == whole


POISON = """
import os, sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path

class Poison(MetaPathFinder):
    # makes a parameter NaN after {images} images, in as many groups of workers as {times}

    def find_spec(self, name, path, target=None):
        if name != "spt_dist.train.loop":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        usual = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (usual(module), poison(module.Trainer))
        return spec

def poison(trainer_class):
    step = trainer_class.step

    def poisoned(trainer, stage):
        step(trainer, stage)
        left, rank = Path({left!r}), trainer.ranks.rank
        if trainer.state.position.images == {images} and len(list(left.glob(f"{{rank}}-*"))) < {times}:
            (left / f"{{rank}}-{{os.getpid()}}").touch()
            parameters = trainer.state.engines["semantic"].module.parameters()
            next(iter(parameters)).data.view(-1)[0] = float("nan")

    trainer_class.step = poisoned

sys.meta_path.insert(0, Poison())
"""


@pytest.mark.parametrize(("times", "ends"), [(1, True), (9, False)])
def test_a_loss_that_is_not_finite(settings, whole, tmp_path, times, ends):
    """Once: the run goes back to the last checkpoint. Again at the same place: it stops and says so."""
    toml, run, left = write_toml(settings, tmp_path / "tiny.toml"), tmp_path / "run", tmp_path / "left"
    left.mkdir()
    (tmp_path / "sitecustomize.py").write_text(POISON.format(left=str(left), times=times, images=BROKEN_AT + BATCH))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    code, said = finish(spt_train(toml, run, PYTHONPATH=path))
    assert (code == 0) == ends, said
    assert events(run, "became non-finite")
    if ends:
        assert losses(run) == whole
    else:
        assert "became non-finite in stage `semantic`" in said
        assert "Traceback" not in said
        assert checkpoint.newest(run)[0] is not None


@pytest.fixture
def cluster():
    """A head that only leads, and room for nodes of one worker each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield made
    made.shutdown()


def test_a_lost_node_is_done_without_and_a_new_one_taken_in(settings, tmp_path, cluster):
    """On two workers, on one, on two again; a position means the same samples on any number (test_readers)."""
    stages = replace(settings.stages, appearance=config.Stage(12_000, 1e-4, 1e-4))
    train = replace(settings.train, min_workers=1, checkpoint_every_imgs=100 * BATCH, report_every_imgs=4 * BATCH)
    settings = replace(settings, stages=stages, train=replace(train, max_failures=9))
    toml, run = write_toml(settings, tmp_path / "tiny.toml"), tmp_path / "run"
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    training = spt_train(toml, run, RAY_ADDRESS=cluster.address)
    wait_for(lambda: len(checkpoint.all_of(run)) > 1, "two checkpoints", START_S)
    cluster.remove_node(nodes[1], allow_graceful=False)
    lost = time.monotonic()
    (alone,) = wait_for(lambda: events(run, "rank 0 of 1 goes on"), "a start on one worker", 120)
    wait_for(lambda: losses(run)[-1][0] > alone["images"], "a step on one worker", 120)
    alone_s = time.monotonic() - lost
    cluster.add_node(num_cpus=1)
    came = time.monotonic()
    together = wait_for(lambda: events(run, "rank 1 of 2 goes on"), "a start on two workers", 120)[-1]
    wait_for(lambda: losses(run)[-1][0] > together["images"], "a step on two workers", 120)
    together_s = time.monotonic() - came
    code, said = finish(training)
    print(f"one worker trains {alone_s:.0f} s after the node's loss, two {together_s:.0f} s after a new one came")
    assert code == 0, said
    told = [images for images, _ in losses(run)]
    assert told == sorted(set(told))  # none repeated
    assert told[-1] == sum(stage.images for stage in vars(stages).values())
    assert set(range(4 * BATCH, told[-1], 4 * BATCH)) <= set(told)  # none lost
    assert alone_s < 60
    assert together_s < 60
