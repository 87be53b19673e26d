"""The command line: quick, and kind to mistakes."""

import inspect
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from spt_dist import cli
from spt_dist.verbs.shared import goes_on

SPT = str(Path(sys.executable).with_name("spt"))
VERBS = (
    "demo", "draw", "annotate", "import", "pack", "data", "pairs", "train", "evaluate", "ablation", "convert",
    "generate", "transfer", "edit", "poses", "serve", "keys", "verify", "export", "bench",
)  # fmt: skip


def spt(*words: object, **environment: str) -> subprocess.CompletedProcess:
    command = [SPT, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment
    )


def test_help_names_every_verb_and_is_quick():
    """Half a second; on a processor where the libraries of a command line take most of that, little more than they."""
    said = spt("--help")
    assert said.returncode == 0
    assert all(f" {verb} " in said.stdout for verb in VERBS)
    libraries = [sys.executable, "-c", "import typer, typer.rich_utils"]
    rounds = [(_seconds(SPT, "--help"), _seconds(*libraries)) for _ in range(8)]
    ours, theirs = map(min, zip(*rounds, strict=True))  # other work beside them can only add
    assert ours < max(0.5, 1.5 * theirs), rounds


def _seconds(*command: str) -> float:
    """The processor's, for a command."""
    before = os.times()
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_the_command_line_imports_nothing_heavy():
    heavy = ("torch", "ray", "deepspeed", "nvidia", "triton", "cv2", "numpy", "pydantic")
    code = f"import sys, spt_dist.cli; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_defaults_of_pack_are_those_of_the_function():
    from spt_dist.data.frame import FrameRule
    from spt_dist.data.pack import pack
    from spt_dist.verbs import data as verbs

    assert get_args(verbs.Frame) == get_args(FrameRule)
    verb, function = inspect.signature(verbs.pack).parameters, inspect.signature(pack).parameters
    for name in ("min_joints", "max_rejected"):
        assert verb[name].default == function[name].default
    assert verb["frame"].default == function["how"].default


def test_pack_takes_its_limits_from_the_command_line(tmp_path):
    from spt_dist.data.manifest import Manifest
    from spt_dist.data.synthetic import draw_folder

    draw_folder(tmp_path / "people", 2, (32, 16), seed=0)
    words = ("pack", tmp_path / "people", "--size", "32x16", "-o", tmp_path / "shards", "--min-joints")
    refused = spt(*words, 18, "--max-rejected", 0)
    assert refused.returncode == 2
    assert "the limit is 0%" in refused.stderr
    assert spt(*words, 3).returncode == 0
    assert Manifest.load(tmp_path / "shards").min_joints == 3


@pytest.mark.filterwarnings("default")  # those of the libraries that a verb imports
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "none.toml"), "cannot read the config `none.toml`"),
        (("train", "configs/demo.toml", "--set", "data.shard=1"), "`data.shard` is not a key"),
        (("train", "configs/demo.toml", "--set", "data.batch=7"), "`data.batch` = 7 does not divide among 2 worker(s)"),
        (
            ("train", "configs/demo.toml", "--launcher", "local", "--set", "data.shards=nowhere"),
            "no shards at `nowhere`",
        ),
        (("pack", "nowhere", "-o", "{tmp}/shards"), "`nowhere`"),
        (("draw", "{tmp}/people", "--size", "64"), "`--size 64` is not HEIGHTxWIDTH"),
        (("draw", "{tmp}/people", "--size", "0x64"), "`--size 0x64` is not HEIGHTxWIDTH"),
        (("draw", "configs"), "`configs` is not empty"),
        (("evaluate", "nowhere"), "`nowhere`"),
        (("serve", "nowhere"), "`nowhere` is not a run"),
        (("convert", "none.pth", "-o", "{tmp}/weights"), "none.pth"),
        (("annotate", "nowhere", "-o", "{tmp}/people", "--sheet", "{tmp}/a.bmp"), "must end in .png or .jpg or .jpeg"),
        (("annotate", "docs", "-o", "docs/people"), "`docs/people` lies among the photos"),
        (("pack", "docs", "-o", "{tmp}/shards"), "`spt annotate docs -o people` makes a folder"),
        (("bench", "pack", "--json", "{tmp}"), "it is a folder; name a file"),
        (("data", "report", "nowhere", "-o", "README.md/page.html"), "README.md` is no folder"),
        (("demo", "--data", "nowhere", "-o", "{tmp}/run"), "`nowhere` has no img, parsing, keypoints.csv"),
    ],
)
def test_a_mistake_is_one_line_without_a_traceback(words, said, tmp_path, monkeypatch, capsys):
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    if words[0] == "train":
        words += ["-o", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", [SPT, *words])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    answer = capsys.readouterr().err
    assert stopped.value.code == 2, answer
    assert "Traceback" not in answer
    assert said in " ".join(answer.split()), answer


def test_a_mistake_ends_the_process_with_its_line():
    answer = spt("train", "none.toml")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert answer.stderr.startswith("error: cannot read the config `none.toml`")


def test_a_traceback_on_request():
    assert "Traceback" in spt("train", "none.toml", SPT_TRACEBACK="1").stderr


def test_a_stopped_training_says_how_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("spt_dist.train.launch.train", lambda *_, **__: False)
    words = ["train", "configs/demo.toml", "-o", str(tmp_path / "my run"), "--set", "data.shards=a b"]
    said = CliRunner().invoke(cli.app, words, catch_exceptions=False).output
    _, _, command = said.strip().partition("next: spt ")
    assert shlex.split(command) == [*words, "--resume"]


def test_who_interrupts_is_told_how_it_goes_on(capsys):
    with pytest.raises(KeyboardInterrupt), goes_on("the same command goes on"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "interrupted; the same command goes on\n"
