"""The drawing verbs, and the people and poses that they are given by name."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from spt_dist.cli import app
from spt_dist.data.synthetic import draw_folder
from spt_dist.person import find_person, read_keypoints, read_sequence

SIZE = (32, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A few synthetic people of the tiny run's size."""
    path = tmp_path_factory.mktemp("people") / "drawn"
    draw_folder(path, 6, SIZE, seed=3)
    return path


def test_people_and_poses_by_name(folder, tmp_path):
    names = (folder / "train.txt").read_text().split()
    one = find_person(f"{folder}:{Path(names[0]).stem}")
    assert one.image.shape == (*SIZE, 3)
    files = (
        folder / "img" / names[0],
        f"{folder}/keypoints.csv:{names[0]}",
        folder / "parsing" / f"{names[0][:-4]}.png",
    )
    for same, other in zip(one, find_person(",".join(map(str, files))), strict=True):
        np.testing.assert_array_equal(same, other)
    assert read_keypoints(f"{folder}:{names[0]}").size == SIZE
    for words, said in (("somebody", "names no person"), (f"{folder}:nobody", "has no photo `nobody`")):
        with pytest.raises(ValueError, match=said):
            find_person(words)
    (tmp_path / "s.json").write_text(json.dumps([[[1, 2]] * 18, {"joints": [None, *[[3, 4]] * 17], "size": [32, 16]}]))
    first, second = read_sequence(tmp_path / "s.json")
    assert (first.size, second.size) == (None, SIZE)
    (tmp_path / "s.json").write_text(json.dumps([[[1, 2]] * 17]))
    with pytest.raises(ValueError, match=r"s\.json`, pose 0: holds 17 joints"):
        read_sequence(tmp_path / "s.json")
    (tmp_path / "s.json").write_text("[]")
    with pytest.raises(ValueError, match="without poses"):
        read_sequence(tmp_path / "s.json")


def test_the_verbs_write_pictures(tiny_run, folder, tmp_path):
    a, b = (f"{folder}:{Path(name).stem}" for name in (folder / "train.txt").read_text().split()[:2])
    cv2.imwrite(str(tmp_path / "map.png"), np.roll(find_person(a).labels, 1, axis=1))

    def spt(*words: object) -> tuple[int, int]:
        said = CliRunner().invoke(app, [*map(str, words), "-o", str(tmp_path / "out.png")], catch_exceptions=False)
        assert said.exit_code == 0, said.output
        return cv2.imread(str(tmp_path / "out.png")).shape[:2]

    assert spt("transfer", tiny_run, a, b, "--labels", "upper", "--both") == (32, 32)
    assert spt("edit", tiny_run, a, "--parsing-edited", tmp_path / "map.png") == SIZE
    assert spt("poses", tiny_run, a, b, "--pose", a, "--pose", b, "--between", 1) == (64, 48)
    for verb in (["transfer", tiny_run, a, b, "--labels", "upper"], ["poses", tiny_run, a, "--pose", b]):
        assert min(spt(*verb, "--sheet")) > 224
    assert min(spt("edit", tiny_run, a, "--parsing-edited", tmp_path / "map.png", "--sheet")) > 224
    for name in ("out.gif", "out.webp"):
        words = ["poses", str(tiny_run), a, "--pose", a, "--pose", b, "--rate", "10", "-o", str(tmp_path / name)]
        CliRunner().invoke(app, words, catch_exceptions=False)
        with Image.open(tmp_path / name) as picture:
            assert (picture.n_frames, picture.size) == (2, (16, 32))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("transfer", "{a}"), "1 people are given"),
        (("transfer", "{a}", "{a}", "--labels", "hat"), "`hat` is no label"),
        (("edit", "{a}"), "give --parsing-edited, or --edit"),
        (("edit", "{a}", "--edit", "moustache"), "`moustache` is no edit"),
        (("edit", "{a}", "{a}", "{a}", "--edit", "longer-hair"), "3 people and 1 edits"),
        (("edit", "{a}", "--edit", "long-sleeves", "--weights", "best"), "has no best weights"),
        (("poses", "{a}"), "no pose is given"),
        (("poses", "{a}", "--pose", "none.json"), "cannot read the keypoints `none.json`"),
        (("poses", "{a}", "--pose", "{a}", "--rate", "0", "-o", "{tmp}/out.gif"), "`--rate 0` is no rate"),
    ],
)
def test_a_mistake_is_a_value_error_of_one_line(tiny_run, folder, tmp_path, words, said):
    someone = f"{folder}:{(folder / 'train.txt').read_text().split()[0]}"
    verb, *rest = (word.replace("{a}", someone).replace("{tmp}", str(tmp_path)) for word in words)
    with pytest.raises(ValueError, match=said) as error:
        CliRunner().invoke(app, [verb, str(tiny_run), *rest], catch_exceptions=False)
    assert "\n" not in str(error.value)
