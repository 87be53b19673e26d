"""What kills a run for real, in its short form: processes without Ray, which the test starts again.

After each fault the run goes on and its losses are the unbroken run's, bit for bit, from the last checkpoint on.
"""

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from processes import run_ranks, start_ranks, wait_for
from run_folders import events, losses, reached, stopped_in_a_save, write_toml

from spt_dist import config
from spt_dist.run_log import read_events
from spt_dist.train import checkpoint
from spt_dist.train.prepare import prepare_run
from spt_dist.train.stop import ASKED
from spt_dist.train.watch import EXIT_STALLED, STALLS

pytestmark = [pytest.mark.slow, pytest.mark.faults]
WORKER = Path(__file__).with_name("resize_worker.py")
SPT = str(Path(sys.executable).with_name("spt"))
BATCH, BROKEN_AT = 4, 24


@pytest.fixture(scope="module")
def settings(tiny_config):
    """Two ranks, every step told; saved at every fourth."""
    stages = {name: config.Stage(count, 1e-4, 1e-4) for name, count in (("pose", 12), ("semantic", 60))}
    stages |= {name: config.Stage(24, 1e-4, 1e-4) for name in ("appearance", "end_to_end")}
    train = replace(tiny_config.train, workers=2, report_every_imgs=BATCH, checkpoint_every_imgs=4 * BATCH, stall_s=8.0)
    return replace(tiny_config, stages=config.Stages(**stages), train=replace(train, picture_every_imgs=10_000))


def prepare(settings, run, ranks=2, resume=False):
    with warnings.catch_warnings(action="ignore"):  # features of a random network do here
        prepare_run(settings, run, resume=resume, ranks=ranks, engine="DeepSpeedEngine")


def start(settings, run):
    prepare(settings, run)
    return start_ranks(WORKER, 2, str(run), str(run / "held"))


def go_on(settings, run, ranks=2):
    prepare(settings, run, ranks, resume=True)
    run_ranks(WORKER, ranks, str(run), str(run / "held"))


def ended(ranks):
    return [rank.wait(timeout=120) for rank in ranks]


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    run = tmp_path_factory.mktemp("faults") / "whole"
    ended(start(settings, run))
    assert len(losses(run)) == 30
    return losses(run)


def test_a_worker_killed_in_a_step(settings, whole, tmp_path):
    run = tmp_path / "run"
    ranks = start(settings, run)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    ranks[1].kill()
    assert all(ended(ranks))
    assert len(losses(run)) < len(whole)
    go_on(settings, run)
    assert losses(run) == whole
    begun = [event for event in read_events(run) if "pid" in event]
    assert {event["rank"] for event in begun} == {0, 1}
    assert begun[-1]["images"] >= BROKEN_AT - 4 * BATCH
    assert "goes on after" in begun[-1]["what"]


def test_a_node_that_is_lost_is_done_without(settings, whole, tmp_path):
    """Its short form: the node's only rank dies, the other's machine goes on alone."""
    run = tmp_path / "run"
    ranks = start(settings, run)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    ranks[1].kill()
    assert all(ended(ranks))
    go_on(settings, run, ranks=1)
    assert events(run, "rank 0 of 1 goes on after")
    assert [images for images, _ in losses(run)] == [images for images, _ in whole]  # none lost, none repeated
    semantic = slice(BROKEN_AT // BATCH, 72 // BATCH)  # then comes dropout, which amplifies roundings
    for (_, found), (_, expected) in zip(losses(run)[semantic], whole[semantic], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_worker_killed_in_a_save(settings, whole, tmp_path):
    run = tmp_path / "run"
    settings = replace(settings, train=replace(settings.train, checkpoint_every_imgs=BATCH))
    ranks = start(settings, run)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    wait_for(lambda: stopped_in_a_save(run, 1, ranks[1].pid), "a save")
    ranks[1].kill()
    assert all(ended(ranks))
    left = [path.name for path in (run / checkpoint.FOLDER).iterdir() if path.name.startswith(checkpoint.HIDDEN)]
    newest, remarks = checkpoint.newest(run)
    assert (len(left), remarks) == (1, [])
    assert newest.name < left[0].removeprefix(checkpoint.HIDDEN)
    go_on(settings, run)
    assert losses(run) == whole
    assert not list((run / checkpoint.FOLDER).glob(f"{checkpoint.HIDDEN}*"))


def test_a_rank_that_stands_still_is_named(settings, whole, tmp_path):
    run = tmp_path / "run"
    ranks = start(settings, run)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    ranks[1].send_signal(signal.SIGSTOP)
    assert ranks[0].wait(timeout=60) == EXIT_STALLED
    ranks[1].kill()
    ended(ranks)
    told = read_events(run)[-1]["what"]
    assert "no progress for 8 s: rank 1 is frozen or gone, last at" in told
    assert "all_reduce" in (run / STALLS / "0.txt").read_text() or "step" in (run / STALLS / "0.txt").read_text()
    go_on(settings, run)
    assert losses(run) == whole


def test_all_ranks_stop_together_when_asked(settings, whole, tmp_path):
    run = tmp_path / "run"
    ranks = start(settings, run)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    (run / ASKED).touch()
    assert ended(ranks) == [0, 0]
    stopped_at = losses(run)[-1][0]
    assert stopped_at < whole[-1][0]
    assert int(checkpoint.newest(run)[0].name) == stopped_at
    assert not (run / "weights").exists()
    go_on(settings, run)
    assert losses(run) == whole


def test_sigterm_saves_and_ends_well(settings, tmp_path):
    """By the command that a user gives; in one process."""
    settings = replace(settings, train=replace(settings.train, workers=1, zero_stage=0))
    whole, run = tmp_path / "whole", tmp_path / "run"
    toml = write_toml(settings, tmp_path / "tiny.toml")
    command = [SPT, "train", str(toml), "--launcher", "local", "-o"]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    training = subprocess.Popen([*command, str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: reached(run, BROKEN_AT), "the log")
    training.send_signal(signal.SIGTERM)
    said, _ = training.communicate(timeout=60)
    assert training.returncode == 0
    assert said == f"stopped as asked, all is saved; next: spt train {toml} -o {run} --resume\n"
    assert len(losses(run)) < len(losses(whole))
    said = subprocess.run([*command, str(run), "--resume"], check=True, capture_output=True, text=True).stdout
    assert said.startswith("trained: ")
    assert losses(run) == losses(whole)


FULL_DISK = """
mount -t tmpfs -o size=6m none {run} && cp -r {prepared}/. {run} || exit 77
dd if=/dev/zero of={run}/filler bs=64k 2>/dev/null; truncate -s -400k {run}/filler
(until grep -q "save after" {run}/events.jsonl; do sleep 0.05; done; rm {run}/filler) &
{spt} train {toml} --launcher local --resume -o {run} > {out}.txt 2>&1
status=$?; cp -r {run} {out}; exit $status
"""


def test_a_full_disk_costs_the_saves_that_it_meets(settings, tmp_path):
    settings = replace(settings, train=replace(settings.train, workers=1, zero_stage=0))
    toml, whole = write_toml(settings, tmp_path / "tiny.toml"), tmp_path / "whole"
    command = [SPT, "train", str(toml), "--launcher", "local", "-o"]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    names = {"run": tmp_path / "run", "prepared": tmp_path / "prepared", "out": tmp_path / "out"}
    for folder in ("run", "prepared"):
        names[folder].mkdir()
    script = FULL_DISK.format(**names, toml=toml, spt=SPT)
    command = ["sh", "-c", script] if os.geteuid() == 0 else ["unshare", "-rm", "sh", "-c", script]
    command = ["unshare", "-m", *command] if os.geteuid() == 0 else command
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode in (1, 77):
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, (tmp_path / "out.txt").read_text()
    failed = events(names["out"], "save after")
    assert failed
    assert all("No space left on device" in event["what"] for event in failed)
    assert losses(names["out"]) == losses(whole)
    newest, remarks = checkpoint.newest(names["out"])
    assert (int(newest.name), remarks) == (losses(whole)[-1][0], [])
