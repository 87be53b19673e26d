"""Answers that are kept: a break costs the photo under way, and processes share the work."""

import hashlib
import json

import numpy as np
import pytest
from annotators import GROUND, paint
from broken import saved
from typer.testing import CliRunner

from spt_dist.annotate.folder import annotate_folder
from spt_dist.annotate.kept import Kept
from spt_dist.cli import app
from spt_dist.data.schema import DataError

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
    with pytest.raises(KeyboardInterrupt):
        annotate_folder([photos], tmp_path / "people", Kept(Counting(annotator, breaks_at=4), tmp_path / "kept"))
    assert not (tmp_path / "people").exists()
    rest = Counting(annotator)
    annotate_folder([photos], tmp_path / "people", Kept(rest, tmp_path / "kept"))
    assert rest.looked == len(PLACES) + 1 - 4
    assert content(tmp_path / "people") == content(tmp_path / "whole")


def test_an_answer_comes_back_whole_also_that_nobody_is_there(annotator, tmp_path):
    photo = paint((240, 180), PLACES[0])[0]
    given = annotator.annotate(photo)
    for counting in (Counting(annotator), Counting(annotator, breaks_at=0)):
        found = Kept(counting, tmp_path / "kept").annotate(photo)
        for name, value in vars(given).items():
            np.testing.assert_array_equal(getattr(found, name), value)
            assert type(getattr(found, name)) is type(value)
    for counting in (Counting(annotator), Counting(annotator, breaks_at=0)):
        with pytest.raises(DataError, match=r"no person found in the photo: .*sure of 0 joints"):
            Kept(counting, tmp_path / "kept").annotate(np.full((60, 50, 3), GROUND, np.uint8))


def test_another_annotator_or_a_broken_file_is_looked_at_again(annotator, tmp_path):
    photo = paint((240, 180), PLACES[0])[0]
    Kept(annotator, tmp_path / "kept").annotate(photo)
    other = Counting(annotator)
    other.name = "another"
    Kept(other, tmp_path / "kept").annotate(photo)
    for file in (tmp_path / "kept").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    again = Counting(annotator)
    Kept(again, tmp_path / "kept").annotate(photo)
    assert (other.looked, again.looked) == (1, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_processes_give_the_folder_of_one(photos, models, tmp_path):
    words = ["annotate", str(photos), "--models", str(models / "simcc.toml"), "-o"]
    for out, more in (("here", []), ("ray", ["--launcher", "ray"])):
        said = CliRunner().invoke(app, [*words, str(tmp_path / out), *more], catch_exceptions=False)
        assert "7 rows read, 6 imported" in said.output
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    assert "sure of 0 joints" in json.loads((tmp_path / "ray" / "dropped.jsonl").read_text())["detail"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "ray"), "--launcher", "ray"])
    assert "exists; remove it" in str(refused.exception)
