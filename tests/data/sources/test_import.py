"""Whole imports of small sources: what is written, and that every row is accounted for."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spt_dist.data.importers import Unreadable, read_folder, read_identities, splits
from spt_dist.data.schema import DataError
from spt_dist.data.sources.job import Job
from spt_dist.data.sources.run import run


def test_a_folder_of_photos(do, account_of, photo, tmp_path):
    source = tmp_path / "photos"
    for name in ("train/a.jpg", "train/b.JPG", "val/c.png", "test/deep/d.jpg", "e.jpeg"):
        photo(source / name)
    (source / "notes.txt").write_text("no photo")
    (source / "e.png").write_bytes((source / "val" / "c.png").read_bytes())  # one stem, two photos
    (source / "broken.jpg").write_bytes(b"no photo")
    (source / "identities.csv").write_text("name,identity\na.jpg,anna\n")
    account, out = do("folder", source)
    assert account_of(out)["rows"]["dropped"] == {"duplicate": 1, "unreadable photo": 1}
    assert (out / "train.txt").read_text().split() == ["e.jpeg", "a.jpg", "b.jpg"]
    assert (out / "val.txt").read_text().split() == ["c.png"]
    assert (out / "test.txt").read_text().split() == ["deep_d.jpg"]
    assert (out / "identities.csv").read_text() == "name,identity\na.jpg,anna\n"
    assert (out / "img" / "a.jpg").read_bytes() == (source / "train" / "a.jpg").read_bytes()
    assert account.notes["without keypoints"] == 5


def test_photos_are_linked_never_recoded(do, photo, tmp_path, monkeypatch):
    source = photo(tmp_path / "photos" / "a.jpg")
    _, out = do("folder", source.parent)
    assert os.path.samefile(out / "img" / "a.jpg", source)

    def refuse(*_):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    _, out = do("folder", source.parent)
    assert not os.path.samefile(out / "img" / "a.jpg", source)
    assert (out / "img" / "a.jpg").read_bytes() == source.read_bytes()


def test_shares_hold_out_people_not_photos(do, photo, tmp_path):
    source, rows = tmp_path / "photos", ["name,identity"]
    for number in range(60):
        photo(source / f"p{number:02d}.jpg", (8, 6))
        rows.append(f"p{number:02d}.jpg,person{number // 2}")
    (source / "identities.csv").write_text("\n".join(rows))
    _, out = do("folder", source, val=0.2, test=0.3)
    people = {
        split: {int(name[1:3]) // 2 for name in (out / f"{split}.txt").read_text().split()} for split in splits(out)
    }
    assert sum(map(len, people.values())) == 30
    assert all(len(names) > 1 for names in people.values())
    with pytest.raises(DataError, match="together below 1"):
        do("folder", source, val=0.5, test=0.5)


def test_keypoints_and_maps_make_samples_that_pack_reads(do, account_of, photo, line, table, tmp_path):
    source = tmp_path / "photos"
    for name in "abcd":
        photo(source / f"{name}.jpg")
    maps = tmp_path / "maps"
    maps.mkdir()
    lip = np.zeros((64, 48), np.uint8)
    lip[10:20, 10:20], lip[20:50, 10:20], lip[50:60, 10:20] = 5, 9, 18
    Image.fromarray(lip).save(maps / "a.png")
    np.save(maps / "b.npy", lip[:30])
    np.save(maps / "d.npy", lip + 30)
    file = table(tmp_path / "k.csv", *(line(f"{name}.jpg") for name in "abcd"), line("gone.jpg"))
    account, out = do("folder", source, keypoints=(file,), parsing=maps, labels="lip-20")
    tree = account_of(out)
    assert tree["labels"] == {"parser": "lip-20", "version": 1}
    assert tree["rows"]["dropped"] == {
        "photo missing": 1,
        "sizes disagree": 1,
        "parsing map missing": 1,
        "unreadable parsing map": 1,
    }
    (sample,) = read_folder(out, "train")
    assert not isinstance(sample, Unreadable)
    np.testing.assert_array_equal(sample.labels, np.array([0, 3, 4, 8])[np.searchsorted([0, 5, 9, 18], lip)])
    np.testing.assert_array_equal(sample.joints[3], (8, 12, 1))
    assert account.imported == 1


def test_a_turned_photo_counts_as_it_is_shown(do, photo, line, table, tmp_path):
    path = photo(tmp_path / "photos" / "a.jpg", (48, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as picture:
        picture.save(path, exif=exif)
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.fromarray(np.ones((64, 48), np.uint8)).save(maps / "a.png")
    file = table(tmp_path / "k.csv", line("a.jpg", y=40))
    _, out = do("folder", path.parent, keypoints=(file,), parsing=maps)
    (sample,) = read_folder(out, "train")
    assert not isinstance(sample, Unreadable)
    assert sample.image.shape == (64, 48, 3)
    assert sample.joints[17, 1] == 57


def test_one_name_in_two_splits_is_refused_too(do, photo, tmp_path):
    photo(tmp_path / "photos" / "train" / "a.jpg")
    photo(tmp_path / "photos" / "test" / "a.jpg", (8, 6))
    with pytest.raises(DataError, match=r"rename what are other people(?s:.*)a: a.jpg in test, a.jpg in train"):
        do("folder", tmp_path / "photos")


def test_names_and_identities_that_lists_cannot_hold(do, photo, tmp_path):
    source = photo(tmp_path / "photos" / "a.jpg").parent
    for name in ("b,c.jpg", "d:e.jpg", 'f"g.jpg', " h.jpg", "i\nj.jpg", "köln 7.jpg"):
        photo(source / name, (8, 6))
    (source / "identities.csv").write_text('name,identity\na.jpg,"Smith, Anna"\n', encoding="utf-8")
    account, out = do("folder", source)
    assert account.reasons == {"unknown name": 5}
    assert (out / "train.txt").read_text(encoding="utf-8") == "a.jpg\nköln 7.jpg\n"
    assert read_identities(out / "identities.csv") == {"a.jpg": "Smith, Anna"}


def test_duplicates_and_bad_lines_are_dropped_with_their_place(do, photo, line, table, tmp_path):
    source = photo(tmp_path / "photos" / "a.jpg").parent
    file = table(tmp_path / "k.csv", line("a.jpg"), line("a.jpg", x=7), "a.jpg:[]:[]", line("../a.jpg"), line(""))
    account, out = do("folder", source, keypoints=(file,))
    lines = [json.loads(text) for text in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(one["where"], one["reason"]) for one in lines] == [
        ("k.csv:3", "duplicate"),
        ("k.csv:4", "unreadable row"),
        ("k.csv:5", "photo missing"),
        ("k.csv:6", "unknown name"),
    ]
    assert account.imported == 1


def test_joints_outside_the_photo_are_missing(do, photo, line, table, tmp_path):
    source = photo(tmp_path / "photos" / "a.jpg", (64, 48)).parent
    photo(source / "b.jpg", (64, 48))
    file = table(tmp_path / "k.csv", line("a.jpg", x=40), line("b.jpg", x=99))
    account, out = do("folder", source, keypoints=(file,))
    assert account.notes["joints outside the picture, now missing"] == 28
    assert account.reasons == {"no joints": 1}
    (name, _, xs) = (out / "keypoints.csv").read_text().splitlines()[1].split(":")
    assert (name, json.loads(xs)) == ("a.jpg", [40, 41, 42, 43, 44, 45, 46, 47, *[-1] * 10])


def test_openpose_and_mediapipe_files(do, photo, tmp_path):
    source = photo(tmp_path / "photos" / "a.jpg", (64, 48)).parent
    poses = tmp_path / "poses"
    poses.mkdir()
    flat = [value for n in range(25) for value in (n, n + 1, 0.9)]
    (poses / "a_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": flat}]}))
    _, out = do("folder", source, keypoints=(poses,))
    xs = json.loads((out / "keypoints.csv").read_text().splitlines()[1].split(":")[2])
    assert xs == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    file = tmp_path / "mediapipe.json"
    file.write_text(json.dumps({"a.jpg": [[0.5, 0.25, 0.9]] * 33}))
    _, out = do("folder", source, keypoints=(file,), order="mediapipe-33")
    _, ys, xs = (out / "keypoints.csv").read_text().splitlines()[1].split(":")
    assert (set(json.loads(ys)), set(json.loads(xs))) == ({15.5}, {23.5})
    with pytest.raises(DataError, match="--keypoints-size"):
        do("poses", file, order="mediapipe-33")


def test_nothing_is_overwritten_and_nothing_half_written(do, photo, tmp_path, monkeypatch):
    source = photo(tmp_path / "photos" / "a.jpg").parent
    _, out = do("folder", source)
    with pytest.raises(DataError, match="exists; name another folder"):
        run(Job("folder", source), out)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="nothing to import"):
        run(Job("folder", empty), tmp_path / "new")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("spt_dist.data.sources.folder.Folder.finish", fail)
    with pytest.raises(KeyboardInterrupt):
        run(Job("folder", source), tmp_path / "new")
    assert not list(tmp_path.glob("new*"))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("market", {}, "none of the folders of `market`"),
        ("deepfashion", {}, "none of the folders of `deepfashion`"),
        ("ccp", {}, "no `annotations/`"),
        ("folder", {"parsing": "gone"}, "`gone` is not a folder"),
        ("folder", {"parsing": ".", "labels": "ccp-59"}, r"`skin` becomes face, arms and legs .*--keypoints"),
        ("folder", {"keypoints": ["gone.csv"]}, "`gone.csv` do not exist"),
    ],
)
def test_mistakes_name_the_way_out(do, photo, tmp_path, kind, options, message):
    source = photo(tmp_path / "photos" / "a.jpg").parent
    given = {name: Path(value) if name == "parsing" else value for name, value in options.items()}
    if "keypoints" in given:
        given["keypoints"] = tuple(map(Path, given["keypoints"]))
    with pytest.raises(DataError, match=message):
        do(kind, source, **given)
    with pytest.raises(DataError, match="is not a folder"):
        do("folder", tmp_path / "nowhere")


def test_progress_counts_every_row(photo, tmp_path):
    for name in "abc":
        photo(tmp_path / "photos" / f"{name}.jpg", (8, 6))
    seen = []
    run(Job("folder", tmp_path / "photos"), tmp_path / "out", lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
