"""`spt train` as a user runs it: two Ray workers, DeepSpeed engines, broken off and resumed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spt_dist import config
from spt_dist.models.weights import load_weights

SPT = str(Path(sys.executable).with_name("spt"))


def write_toml(settings: config.Config, path: Path) -> None:
    """The resolved configuration as TOML: tables by dotted headings, values as JSON spells them."""
    lines = []

    def table(prefix: str, tree: dict) -> None:
        lines.append(f"[{prefix}]")
        lines.extend(f"{k} = {json.dumps(v)}" for k, v in tree.items() if v is not None and not isinstance(v, dict))
        for key, value in tree.items():
            if isinstance(value, dict):
                table(f"{prefix}.{key}", value)

    for section, tree in config.to_tree(settings).items():
        table(section, tree)
    path.write_text("\n".join(lines))


def spt(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([SPT, *map(str, words)], capture_output=True, text=True, timeout=240, check=False)


def terms(run: Path) -> list:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["all_images"], line["terms"]) for line in lines]


@pytest.mark.slow
def test_two_workers_resume_bit_equal(tiny_config, tmp_path):
    write_toml(tiny_config, tmp_path / "tiny.toml")
    keep_all = ("--set", "train.workers=2", "--set", "train.checkpoint_every=4", "--set", "train.keep_checkpoints=99")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = spt("train", tmp_path / "tiny.toml", "-o", whole, *keep_all)
    assert done.returncode == 0, done.stderr[-3000:]
    modules, card = load_weights(whole / "weights")
    assert sorted(modules) == ["appearance", "semantic"]
    assert card["images"] == 32

    shutil.copytree(whole, broken)
    for path in (broken / "checkpoints").iterdir():
        if int(path.name) > 20:  # in the middle of the third stage
            shutil.rmtree(path)
    done = spt("train", tmp_path / "tiny.toml", "-o", broken, "--resume", *keep_all)
    assert done.returncode == 0, done.stderr[-3000:]
    assert terms(broken) == terms(whole)
    assert len(terms(whole)) == 8
    for name in modules:
        file = f"weights/{name}.safetensors"
        assert (broken / file).read_bytes() == (whole / file).read_bytes(), name

    refused = spt("train", tmp_path / "tiny.toml", "-o", whole)
    assert refused.returncode == 2
    assert "add --resume" in refused.stderr
    assert "Traceback" not in refused.stderr
