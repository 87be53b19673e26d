"""A run that was begun on two ranks goes on, on one and on three, as if nothing had happened."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import run_ranks

from spt_dist import config
from spt_dist.train.engine import read_parameters, read_universal
from spt_dist.train.prepare import prepare_run

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("resize_worker.py")
BATCH, BROKEN_AT = 6, 30  # in the second stage
RATE = 2e-5  # training multiplies a rounding: at 1e-4 to over 1e-5 within 20 steps, at this rate it stays below 1e-6


@pytest.fixture(scope="module")
def settings(tiny_config):
    """Paper's terms at a tenth of its rate, no dropout: sums in another order stay apart by rounding."""
    images = {"pose": 24, "semantic": 54, "appearance": 72, "end_to_end": 12}
    stages = {name: config.Stage(count, RATE, RATE) for name, count in images.items()}
    return replace(
        tiny_config,
        data=replace(tiny_config.data, batch=BATCH),
        networks=replace(tiny_config.networks, appearance=replace(tiny_config.networks.appearance, dropout=0.0)),
        losses=config.LossWeights(pose=100, content=10, style=10),
        stages=config.Stages(**stages),
        train=replace(
            tiny_config.train,
            workers=2,
            zero_stage=1,
            report_every_imgs=BATCH,
            checkpoint_every_imgs=BROKEN_AT,
            keep_checkpoints=100,
            picture_every_imgs=10_000,
        ),
    )


def train(settings, run, ranks, resume):
    with warnings.catch_warnings(action="ignore"):  # features of a random network do here
        prepare_run(settings, run, resume=resume, ranks=ranks, engine="DeepSpeedEngine")
    run_ranks(WORKER, ranks, str(run), str(run / "held"))


def go_on(settings, run, ranks):
    """Train to the end on so many ranks; what the engines held at the start, which is what their files say."""
    train(settings, run, ranks, resume=True)
    for file in (run / "held").glob("*.pt"):
        read, whole = read_parameters(file.with_suffix("")), torch.load(file, weights_only=True)
        assert read.keys() == whole.keys()
        assert all(torch.equal(read[name], whole[name]) for name in whole)
    return held(run / "held"), json.loads((run / "held" / "reader.json").read_text())


def held(folder):
    """Every parameter, and its moments where it has any, by network, name and kind; put together from all ranks."""
    return {
        f"{network.name} {name} {kind}": values
        for network in filter(Path.is_dir, folder.iterdir())
        for kind in ("fp32", "exp_avg", "exp_avg_sq")
        for name, values in read_universal(network, kind).items()
    }


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {(line["all_images"], name): value for line in lines for name, value in line["terms"].items()}


def broken(whole, run):
    shutil.copytree(whole, run)
    for path in (run / "checkpoints").iterdir():
        if int(path.name) > BROKEN_AT:
            shutil.rmtree(path)
    return run


@pytest.fixture(scope="module", params=[1, 2, pytest.param(3, marks=pytest.mark.cluster)])
def whole(settings, request, tmp_path_factory):
    """The unbroken run on two ranks, its settings, and what they hold after a resume on two."""
    settings = replace(settings, train=replace(settings.train, zero_stage=request.param))
    run = tmp_path_factory.mktemp("resize") / "whole"
    train(settings, run, 2, resume=False)
    again = broken(run, run.with_name("again"))
    state = go_on(settings, again, 2)
    assert losses(again) == losses(run)  # the same size: bit for bit
    return run, settings, state


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (3, 1), (1, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(whole, tmp_path, ranks, accumulate):
    run, settings, (kept, reader) = whole
    settings = replace(settings, train=replace(settings.train, workers=ranks, accumulate=accumulate))
    found, position = go_on(settings, broken(run, tmp_path / "run"), ranks)
    assert position == reader
    assert found.keys() == kept.keys()
    assert any(name.endswith("exp_avg_sq") and values.any() for name, values in kept.items())
    for name, values in kept.items():
        assert torch.equal(found[name], values), name
    expected, losses_found = losses(run), losses(tmp_path / "run")
    assert losses_found.keys() == expected.keys()
    compared = {key: value for key, value in expected.items() if key[0] > BROKEN_AT}
    assert len({images for images, _ in compared}) == 22  # steps
    for key, value in compared.items():
        assert losses_found[key] == pytest.approx(value, rel=1e-5), key
