"""`spt import` itself: its choices are the tables', and it ends with an account."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

from spt_dist.data.sources.layouts import KINDS
from spt_dist.data.sources.merges import MERGES
from spt_dist.data.sources.orders import ORDERS
from spt_dist.verbs import importing

SPT = str(Path(sys.executable).with_name("spt"))


def spt(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [SPT, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )


def test_the_choices_are_the_tables():
    assert get_args(importing.Kind) == tuple(KINDS)
    assert get_args(importing.Order) == tuple(ORDERS)
    assert get_args(importing.Labels) == tuple(MERGES)


def test_help_names_each_kinds_layout():
    said = spt("import", "--help").stdout
    assert all(f"{kind}:" in said for kind in KINDS)
    assert all(word in said for word in ("bounding_box_train/", "fasion", "identities.csv", "annotations/*.mat"))


def test_import_then_pack(photo, line, table, tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        photo(tmp_path / "photos" / f"{name}.jpg")
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.new("L", (48, 64), 5).save(maps / "a.png")
    file = table(tmp_path / "k.csv", line("a.jpg"), line("b.jpg"))
    words = ("import", "folder", tmp_path / "photos", "-o", tmp_path / "people", "--keypoints", file)
    said = spt(*words, "--parsing", maps, "--labels", "atr-18")
    assert said.returncode == 0, said.stderr
    assert "2 rows read, 1 imported; dropped: 1 parsing map missing (1 train)" in said.stdout
    assert "importing: 2 of 2" in said.stderr
    packed = spt("pack", tmp_path / "people", "-o", tmp_path / "shards", "--size", "64x48", "--frame", "whole")
    assert "1 train" in packed.stdout, packed.stderr
    again = spt(*words)
    assert again.returncode == 2
    assert "exists; name another folder" in again.stderr
    refused = spt("import", "folder", tmp_path / "photos", "-o", tmp_path / "new", "--keypoints-size", "256")
    assert "`--keypoints-size 256` is not HEIGHTxWIDTH" in refused.stderr
