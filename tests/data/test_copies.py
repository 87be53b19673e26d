"""Pictures that are there twice: left out while packing, the training set giving way."""

import dataclasses
import json

import cv2
import numpy as np

from spt_dist.data.importers import read_rows
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import pack, pack_rows
from spt_dist.data.synthetic import draw_folder

SIZE = (32, 16)
SPLITS = ("train", "val", "test")


def photo(rng):
    """Something like a photo: large shapes and a little noise."""
    coarse = cv2.resize(rng.integers(0, 256, (6, 5, 3)).astype(np.float32), (64, 96), interpolation=cv2.INTER_CUBIC)
    return (coarse + rng.normal(0, 4, coarse.shape)).clip(0, 255).astype(np.uint8)


def recompressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


def test_copies_are_left_out_and_the_training_set_gives_way(person, tmp_path):
    rng, size = np.random.default_rng(3), (96, 64)
    some = [dataclasses.replace(person(f"p{seed}", seed, size), image=photo(rng)) for seed in range(12)]

    def again(of, name, **changes):
        return dataclasses.replace(some[of], id=name, image=recompressed(some[of].image), **changes)

    moved = dataclasses.replace(some[4], id="other-pose", joints=person("x", 77, size).joints)
    known = [dataclasses.replace(some[5], id=name, identity=name) for name in ("ann", "bea")]
    given = [*some, again(0, "a-copy"), again(1, "leak", split="test"), again(1, "b", split="val"), moved, *known[1:]]
    given[5] = known[0]
    manifest = pack(given, tmp_path / "out", size, "whole", duplicates="drop", max_rejected=0.0)
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [(line["id"], line["split"], line["reason"]) for line in lines] == [
        ("p0", "train", "near-duplicate of `a-copy`"),
        ("p1", "train", "near-duplicate of `leak` of `test`"),
        ("b", "val", "near-duplicate of `leak` of `test`"),
    ]
    assert (manifest.duplicates, manifest.leaks, manifest.rejected) == (3, 2, 3)
    assert Manifest.load(tmp_path / "out").duplicates == 3
    kept = pack(given, tmp_path / "all", size, "whole")
    assert (kept.duplicates, kept.leaks, kept.rejected) == (None, None, 0)
    assert pack(given[::-1], tmp_path / "back", size, "whole", duplicates="drop").data_hash == manifest.data_hash


def test_drawn_people_are_no_copies_of_each_other(people40, tmp_path):
    given = [row for split in SPLITS for row in read_rows(people40, split)]
    manifest = pack_rows(given, tmp_path / "out", SIZE, "whole", duplicates="drop")
    assert manifest.duplicates == 0
    assert manifest.data_hash == pack_rows(given, tmp_path / "kept", SIZE, "whole").data_hash


def test_photos_that_are_there_twice_are_found(data, tmp_path):
    """Of these real photos seven are there twice, cut and annotated differently; three of them would leak."""
    twice = "0078 0984 0183 0730 0197 0671 0223 0616 0594 0722 0692 0732 0907 0990"
    names = {*twice.split(), *(f"{number:04d}" for number in range(3, 998, 50))}
    listed = [row for split in SPLITS for row in read_rows(data / "ccp256", split)]
    given = [row for row in listed if row.id.removeprefix("ccp_") in names]
    manifest = pack_rows(given, tmp_path / "out", (64, 48), "person", duplicates="drop")
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {line["id"].removeprefix("ccp_"): line["reason"].split("`")[1].removeprefix("ccp_") for line in lines} == {
        "0078": "0984", "0692": "0732", "0907": "0990",  # of test and val
        "0730": "0183", "0671": "0197", "0616": "0223", "0722": "0594",
    }  # fmt: skip
    assert {line["split"] for line in lines} == {"train"}
    assert (manifest.duplicates, manifest.leaks) == (7, 3)


def test_the_verb_says_what_was_left_out_and_goes_on(people40, tmp_path, capfd):
    from spt_dist.cli import app

    copy = tmp_path / "copy"
    draw_folder(copy, 8, SIZE, 0, 0, 0)  # the first of the same people
    for path in [*(copy / "img").iterdir(), *(copy / "parsing").iterdir()]:
        path.rename(path.with_stem(f"again-{path.stem}"))
    for name in ("keypoints.csv", "train.txt", "identities.csv"):
        lines = (copy / name).read_text().splitlines()
        head = [line for line in lines if line.startswith("name")]
        (copy / name).write_text("\n".join([*head, *(f"again-{line}" for line in lines if line not in head)]) + "\n")
    words = ["pack", people40, copy, "-o", tmp_path / "out", "--size", "32x16", "--frame", "whole", "--resume"]
    app([str(word) for word in words], standalone_mode=False)
    assert "8 show a picture that is there already, 0 across splits" in capfd.readouterr().out
