"""Answers that are kept: a break costs the photo under way, and processes share the work."""

import hashlib
import json

import numpy as np
import pytest
from annotators import GROUND, paint
from broken import saved
from typer.testing import CliRunner

from spt_dist.annotate.folder import annotate_folder
from spt_dist.annotate.kept import Kept, answers_beside, look_ahead
from spt_dist.annotate.onnx_annotator import OnnxAnnotator
from spt_dist.cli import app
from spt_dist.data.schema import DataError
from spt_dist.data.search.distributed import ray_mapper

PLACES = [(50 + 5 * number, 30, 120 + 5 * number, 200) for number in range(6)]


@pytest.fixture
def photos(tmp_path):
    """Six people, and a photo of nobody."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, place in enumerate(PLACES):
        (folder / f"{number}.png").write_bytes(saved(paint((240, 180), place)[0]))
    (folder / "empty.png").write_bytes(saved(np.full((60, 50, 3), GROUND, np.uint8)))
    return folder


class Counting:
    """An annotator that counts, and breaks off at a photo."""

    def __init__(self, annotator, breaks_at=None):
        self.name, self.looked, self._annotator, self._breaks_at = annotator.name, 0, annotator, breaks_at

    def annotate(self, photo):
        if self.looked == self._breaks_at:
            raise KeyboardInterrupt
        self.looked += 1
        return self._annotator.annotate(photo)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_broken_annotation_goes_on(photos, annotator, tmp_path):
    annotate_folder([photos], tmp_path / "whole", annotator)
    out, rest = tmp_path / "people", Counting(annotator)
    with pytest.raises(KeyboardInterrupt), answers_beside(out) as folder:
        annotate_folder([photos], out, Kept(Counting(annotator, breaks_at=4), folder))
    assert not out.exists()
    with answers_beside(out) as folder:
        with pytest.raises(DataError, match="another `spt annotate` is writing"), answers_beside(out):
            pass
        annotate_folder([photos], out, Kept(rest, folder))
    assert rest.looked == len(PLACES) + 1 - 4
    assert content(out) == content(tmp_path / "whole")
    assert not folder.exists()


def test_a_refusal_leaves_no_folder_behind(tmp_path):
    with pytest.raises(DataError, match="no photos"), answers_beside(tmp_path / "people") as folder:
        raise DataError("no photos")
    assert not folder.exists()


def test_an_answer_comes_back_whole_also_that_nobody_is_there(annotator, tmp_path):
    photo = paint((240, 180), PLACES[0])[0]
    given = annotator.annotate(photo)
    for counting in (Counting(annotator), Counting(annotator, breaks_at=0)):
        found = Kept(counting, tmp_path).annotate(photo)
        for name, value in vars(given).items():
            np.testing.assert_array_equal(getattr(found, name), value)
            assert type(getattr(found, name)) is type(value)
    for counting in (Counting(annotator), Counting(annotator, breaks_at=0)):
        with pytest.raises(DataError, match=r"no person found in the photo: .*sure of 0 joints"):
            Kept(counting, tmp_path).annotate(np.full((60, 50, 3), GROUND, np.uint8))


def test_another_annotator_or_a_broken_file_is_looked_at_again(annotator, tmp_path):
    photo, other, broken = paint((240, 180), PLACES[0])[0], Counting(annotator), Counting(annotator)
    other.name = "another"
    Kept(annotator, tmp_path).annotate(photo)
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    Kept(other, tmp_path).annotate(photo)
    damaged = [whole[:100], b"", *(whole[:at] + bytes(64) + whole[at + 64 :] for at in range(0, len(whole) - 64, 64))]
    for content in damaged:
        file.write_bytes(content)
        np.testing.assert_array_equal(Kept(broken, tmp_path).annotate(photo).labels, annotator.annotate(photo).labels)
    assert other.looked == 1
    assert 2 < broken.looked <= len(damaged)


def test_what_is_no_answer_is_not_kept(tmp_path):
    class Failing:
        name = "failing"

        def annotate(self, photo):
            raise DataError("out of memory")

    with pytest.raises(DataError, match="out of memory"):
        Kept(Failing(), tmp_path).annotate(np.zeros((9, 9, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_processes_give_the_folder_of_one(photos, models, tmp_path):
    words = ["annotate", str(photos), "--models", str(models / "simcc.toml"), "-o"]
    for out, more in (("here", []), ("ray", ["--launcher", "ray"])):
        said = CliRunner().invoke(app, [*words, str(tmp_path / out), *more], catch_exceptions=False)
        assert "7 rows read, 6 imported" in said.output
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    assert "sure of 0 joints" in json.loads((tmp_path / "ray" / "dropped.jsonl").read_text())["detail"]
    nobody_left, ahead = Counting(OnnxAnnotator.load(models / "simcc.toml"), breaks_at=0), tmp_path / "ahead"
    ahead.mkdir()
    with ray_mapper(2) as mapper:
        look_ahead(sorted(photos.iterdir()), str(models / "simcc.toml"), ahead, mapper)
        with pytest.raises(DataError, match=r"cannot use .*nowhere.png.*; all machines must see photos"):
            look_ahead([photos / "nowhere.png"], str(models / "simcc.toml"), ahead, mapper)
    annotate_folder([photos], tmp_path / "people", Kept(nobody_left, ahead))
    assert content(tmp_path / "people") == content(tmp_path / "here")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "ray"), "--launcher", "ray"])
    assert "exists; name another folder" in str(refused.exception)
