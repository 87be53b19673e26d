"""`spt train` as a user runs it: two Ray workers, DeepSpeed engines, broken off and resumed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spt_dist.models.weights import load_weights

SPT = str(Path(sys.executable).with_name("spt"))


def spt(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([SPT, *map(str, words)], capture_output=True, text=True, timeout=800, check=False)


def terms(run: Path) -> list:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["all_images"], line["terms"]) for line in lines if "terms" in line]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.cluster)])
def test_two_workers_resume_bit_equal(tiny_toml, tmp_path, precision):
    keep_all = (
        "--set",
        f"train.precision={precision}",
        "--set",
        "train.workers=2",
        "--set",
        "train.checkpoint_every_imgs=4",
        "--set",
        "train.keep_checkpoints=99",
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = spt("train", tiny_toml, "-o", whole, *keep_all)
    assert done.returncode == 0, done.stderr[-3000:]
    modules, card = load_weights(whole / "weights")
    assert sorted(modules) == ["appearance", "semantic"]
    assert card["images"] == 32

    shutil.copytree(whole, broken)
    for path in (broken / "checkpoints").iterdir():
        if int(path.name) > 20:  # in the middle of the third stage
            shutil.rmtree(path)
    validating = ("--set", "train.evaluate_every_imgs=4")  # on the leading rank, which moves no number
    done = spt("train", tiny_toml, "-o", broken, "--resume", *keep_all, *validating)
    assert done.returncode == 0, done.stderr[-3000:]
    assert terms(broken) == terms(whole)
    assert len(terms(whole)) == 8
    assert load_weights(broken / "weights-best")[1]["chosen_by"]["metric"] == "masked SSIM"
    assert not (whole / "weights-best").exists()
    exported = tmp_path / "exported"
    assert spt("checkpoint", "export", whole, "-o", exported).returncode == 0
    for file in (path.relative_to(whole) for path in whole.glob("*/*.safetensors")):
        assert (broken / file).read_bytes() == (whole / file).read_bytes(), file
        found, expected = load_file(exported / file), load_file(whole / file)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], values) for name, values in expected.items()), file

    board = EventAccumulator(str(whole / "tensorboard")).Reload()
    assert "preview" in board.Tags()["images"]
    assert [event.step for event in board.Scalars("appearance/style")] == [20, 24, 28, 32]

    refused = spt("train", tiny_toml, "-o", whole)
    assert refused.returncode == 2
    assert "add --resume" in refused.stderr
    assert "Traceback" not in refused.stderr
