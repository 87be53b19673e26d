"""The folder of synthetic people: its layout, its splits, and that it repeats from its seed."""

import csv
import hashlib
import json

import cv2
import numpy as np
import pytest

from spt_dist.data.synthetic import draw, draw_folder, sample_person, sample_pose

SIZE = (64, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("people")
    calls = []
    draw_folder(out, 6, SIZE, 3, val_people=2, test_people=3, progress=lambda *state: calls.append(state))
    assert calls == [(done, 16) for done in range(1, 17)]
    return out


def _annotations(folder):
    head, *lines = (folder / "keypoints.csv").read_text().splitlines()
    assert head == "name:keypoints_y:keypoints_x"
    rows = (line.split(":") for line in lines)
    return {name: np.array([json.loads(x), json.loads(y)]).T for name, y, x in rows}


def _digest(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()
    }


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "train.txt").write_text("my photos\n")
    with pytest.raises(ValueError, match="is not empty; name a new folder"):
        draw_folder(tmp_path, 1, SIZE, 0)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["my photos\n"]


def test_every_listed_picture_has_its_label_map_and_joints(folder):
    joints = _annotations(folder)
    names = [name for split in ("train", "val", "test") for name in (folder / f"{split}.txt").read_text().split()]
    assert names == list(joints)
    for name in names:
        assert cv2.imread(str(folder / "img" / name)).shape == (*SIZE, 3)
        assert cv2.imread(str(folder / "parsing" / name.replace("jpg", "png")), cv2.IMREAD_UNCHANGED).shape == SIZE
        assert joints[name].shape == (18, 2)


def test_training_is_unpaired_and_evaluation_shows_each_person_twice(folder):
    with (folder / "identities.csv").open() as file:
        rows = list(csv.DictReader(file))
    identity = {row["name"]: row["identity"] for row in rows}
    people = {s: [identity[n] for n in (folder / f"{s}.txt").read_text().split()] for s in ("train", "val", "test")}
    assert len(set(people["train"])) == len(people["train"]) == 6
    assert len(people["val"]) == 4
    assert len(people["test"]) == 6
    assert all(people[split].count(name) == 2 for split in ("val", "test") for name in people[split])
    assert not set(people["train"]) & set(people["test"]) | set(people["val"]) & set(people["test"])


def test_the_files_hold_what_was_drawn(folder):
    rng = np.random.default_rng((3, 0, 4))
    drawing = draw(sample_person(rng), sample_pose(rng), SIZE)
    labels = cv2.imread(str(folder / "parsing" / "train_00004.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, drawing.labels)
    image = cv2.imread(str(folder / "img" / "train_00004.jpg"))[..., ::-1].astype(float)
    assert np.abs(image - drawing.image).mean() < 6
    np.testing.assert_allclose(_annotations(folder)["train_00004.jpg"], drawing.joints[:, :2], atol=0.0051)


def test_the_seed_repeats_the_folder_and_more_people_leave_the_others_alone(folder, tmp_path):
    draw_folder(tmp_path / "again", 6, SIZE, 3, val_people=2, test_people=3)
    draw_folder(tmp_path / "more", 7, SIZE, 3, val_people=2, test_people=3)
    first, again, more = (_digest(p) for p in (folder, tmp_path / "again", tmp_path / "more"))
    assert first == again
    pictures = {name for name in first if name.endswith(("jpg", "png"))}
    assert all(first[name] == more[name] for name in pictures)
    assert len(more) == len(first) + 2
