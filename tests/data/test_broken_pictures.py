"""Every kind of broken picture, map, line or list, each for real: read, packed or rejected by name, read back."""

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from broken import NOISE, RULES, SIZE, blocks, deep_map, line_of, moving, saved, turned, write_folder
from hostile import png_header

from spt_dist import config
from spt_dist.body import MISSING, Label
from spt_dist.data import dali
from spt_dist.data.frame import frame
from spt_dist.data.importers import Unreadable, read_folder
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import DataError

READERS = ["webdataset", pytest.param("dali", marks=pytest.mark.skipif(not dali.available(), reason="no DALI here"))]


def photo(make):
    return lambda folder: (folder / "img" / "bad.png").write_bytes(
        make((folder / "img" / "bad.png").read_bytes()) if callable(make) else make
    )


def parsing(make):
    return lambda folder: (folder / "parsing" / "bad.png").write_bytes(
        make((folder / "parsing" / "bad.png").read_bytes()) if callable(make) else make
    )


def joints(*lines):
    """Other lines for the bad picture in `keypoints.csv`."""

    def change(folder):
        kept = [line for line in (folder / "keypoints.csv").read_text().splitlines() if not line.startswith("bad.png")]
        (folder / "keypoints.csv").write_text("\n".join([*kept, *lines]) + "\n")

    return change


def listed(text):
    return lambda folder: (folder / "train.txt").write_bytes((folder / "train.txt").read_bytes() + text)


def strip(folder):
    (folder / "img" / "bad.png").write_bytes(saved(np.zeros((1, 30_000, 3), np.uint8)))
    (folder / "parsing" / "bad.png").write_bytes(saved(np.ones((1, 30_000), np.uint8)))
    joints(line_of("bad.png", np.array([[29_000 * (j % 2), 0, 1] for j in range(18)])))(folder)


def both(*changes):
    return lambda folder: [change(folder) for change in changes]


def points(value):
    return line_of("bad.png", np.full((18, 3), value, float))


REJECTED = {
    "truncated JPEG": (photo(saved(NOISE, "JPEG")[:500]), r"`img/bad.png` is damaged or cut off"),
    "truncated PNG": (photo(lambda good: good[: len(good) // 2]), r"`img/bad.png` is damaged or cut off"),
    "JPEG with a tail of zeros": (photo(saved(NOISE, "JPEG")[:500] + bytes(500)), r"is damaged or cut off"),
    "zeroed photo": (photo(lambda good: bytes(len(good))), r"`img/bad.png` is not a JPEG, PNG, WEBP or BMP file"),
    "empty photo": (photo(b""), r"`img/bad.png` is empty"),
    "huge photo": (photo(png_header(30_000, 30_000)), r"far more than 64,000,000 pixels"),
    "large photo": (photo(png_header(10_000, 8_000)), r"is 8000 x 10000 px; 64,000,000 pixels are allowed"),
    "beyond counting": (photo(png_header(2**31 - 1, 2**31 - 1)), r"far more than 64,000,000 pixels"),
    "GIF": (photo(saved(blocks(), "GIF")), r"is not a JPEG"),
    "TIFF": (photo(saved(blocks(), "TIFF")), r"is not a JPEG"),
    "moving PNG": (photo(moving("PNG")), r"moves, it holds 2 pictures"),
    "moving WebP": (photo(moving("WEBP")), r"moves, it holds 2 pictures"),
    "strip": (strip, r"\(1, 30000\) px, but its frame for \(24, 16\) px would be"),
    "missing photo": (lambda folder: (folder / "img" / "bad.png").unlink(), r"cannot read `img/bad.png`: No such file"),
    "map of another size": (parsing(saved(np.ones((24, 15), np.uint8))), r"image is \(24, 16\) px but labels are"),
    "map of the unturned photo": (photo(turned(np.zeros((16, 24, 3), np.uint8), 6)), r"turned by its EXIF data"),
    "unknown label": (parsing(saved(np.full(SIZE, 77, np.uint8))), r"`parsing/bad.png` holds label 77"),
    "unknown label of 16 bits": (parsing(deep_map(256)), r"`parsing/bad.png` holds label 256"),
    "map without anybody": (parsing(saved(np.zeros(SIZE, np.uint8))), r"all background"),
    "map in colours": (parsing(saved(blocks())), r"single channel .* it is RGB"),
    "map as JPEG": (parsing(saved(np.ones(SIZE, np.uint8), "JPEG")), r"`parsing/bad.png` is not a PNG"),
    "truncated map": (parsing(lambda good: good[:-40]), r"`parsing/bad.png` is damaged or cut off"),
    "huge map": (parsing(png_header(9_000, 9_000, 0)), r"`parsing/bad.png` is 9000 x 9000 px"),
    "missing map": (lambda folder: (folder / "parsing" / "bad.png").unlink(), r"cannot read `parsing/bad.png`"),
    "no line": (joints(), r"`keypoints.csv` has no line for `bad.png`"),
    "half a line": (joints("bad.png:[1, 2]"), r"entry \d+: expected `name:keypoints_y:keypoints_x`, found `bad.png:"),
    "17 joints": (joints(f"bad.png:{[1] * 17}:{[1] * 17}"), r"expected two JSON lists of 18"),
    "deep JSON": (joints(f"bad.png:{'[' * 20_000}:{[1] * 18}"), r"expected two JSON lists of 18"),
    "words": (joints(f"bad.png:{json.dumps(['x'] * 18)}:{[1] * 18}"), r"expected two JSON lists of 18"),
    "huge integers": (joints(f"bad.png:{[10**400] * 18}:{[1] * 18}"), r"expected two JSON lists of 18"),
    "NaN": (joints(points(np.nan)), r"joints must be finite"),
    "infinite": (joints(points(np.inf)), r"joints must be finite"),
    "beyond float32": (joints(points(1e300)), r"joints must be finite"),
    "joints outside": (joints(points(1e6)), r"0 of 18 joints are visible.*; 18 joints lie outside the picture"),
    "two lines": (joints(points(3.0), points(4.0)), r"`bad.png` has a line already, with other joints"),
    "listed twice": (both(joints(points(3.0)), listed(b"bad.png\n")), r"the id `bad` occurs twice"),
    "two endings": (both(joints(points(3.0), "bad.jpg" + points(3.0)[7:]), listed(b"bad.jpg\n")), r"cannot read"),
    "two identities": (
        lambda folder: (folder / "identities.csv").write_text("name,identity\nbad.png,a\nbad.png,b\n"),
        r"gives `bad.png` several identities",
    ),
    "no name at all": (listed(b"\0\n"), r"has no line for"),
    "no UTF-8": (listed(b"\xff\xfe.png\n"), r"has no line for"),
}


@pytest.fixture
def folder(person, tmp_path):
    return write_folder(tmp_path / "people", [person(f"p{n}", n) for n in range(7)] + [person("bad", 9)], "png")


@pytest.mark.parametrize("what", REJECTED)
def test_broken_samples_are_counted_named_and_skipped(folder, tmp_path, what):
    change, reason = REJECTED[what]
    change(folder)
    found = list(read_folder(folder, "train"))
    manifest = pack(found, tmp_path / "shards", SIZE, max_rejected=0.3)
    (line,) = [json.loads(line) for line in (tmp_path / "shards" / "rejected.jsonl").read_text().splitlines()]
    assert line["source"] == "people"
    assert line["split"] == "train"
    assert re.search(reason, line["reason"]), line
    kept = manifest.split("train").samples
    assert (kept + manifest.rejected, manifest.rejected) == (len(found), 1)
    assert len(list(read_split(tmp_path / "shards", "train"))) == kept >= 7
    with pytest.raises(DataError, match=r"1 of \d samples were rejected(?s:.*)people/"):
        pack(found, tmp_path / "strict", SIZE, max_rejected=0.0)


def test_a_list_of_the_broken_is_short_and_says_where_all_are(folder, tmp_path):
    for photo_ in (folder / "img").iterdir():
        photo_.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        pack(read_folder(folder, "train"), tmp_path / "shards", SIZE)
    text = str(caught.value)
    assert "8 of 8 samples were rejected, the limit is 20%" in text
    assert text.count("is empty; copy it again") == 5
    lines = (tmp_path / "shards.partial" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [*(f"p{n}" for n in range(7)), "bad"]


def test_map_and_joints_refer_to_the_upright_photo(person, tmp_path):
    """A photo that lies on its side gives the same shards as the same photo stored upright."""
    people = [person(f"p{n}", n) for n in range(4)]
    plain = write_folder(tmp_path / "plain", people, "png")
    lying = write_folder(tmp_path / "lying", people, "png")
    for number, sample in zip((3, 5, 6, 8), people, strict=True):
        (lying / "img" / f"{sample.id}.png").write_bytes(turned(sample.image, number))
    for folder_ in (plain, lying):
        samples = (replace(sample, source="") for sample in read_folder(folder_, "train"))
        pack(samples, tmp_path / f"{folder_.name}-shards", SIZE)
    contents = [(tmp_path / f"{name}-shards" / "train-000000.tar").read_bytes() for name in ("plain", "lying")]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("how", ["person", "whole"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1)])
def test_pictures_of_a_pixel_are_framed(person, tmp_path, shape, how):
    seed = person("dot", 1)
    at = np.float32([[shape[1] - 1, shape[0] - 1, 1]] * 18)
    dot = replace(seed, image=np.full((*shape, 3), 90, np.uint8), labels=np.full(shape, 3, np.uint8), joints=at)
    pack([dot, person("p", 2)], tmp_path / "shards", SIZE, how)
    (read,) = [sample for sample in read_split(tmp_path / "shards", "train") if sample.id == "dot"]
    assert read.image.shape == (*SIZE, 3)
    assert np.abs(read.image.astype(int) - 90).max() <= 2
    assert set(np.unique(read.labels)) <= {Label.BACKGROUND, 3}
    assert (read.joints[:, 2] == 1).all()


def test_a_joint_outside_is_missing_and_moves_no_frame(person, tmp_path):
    sample = person("a", 3, missing=0)
    far, edge = sample.joints.copy(), sample.joints.copy()
    far[2], edge[2] = (1e7, 4, 1), MISSING
    pack([replace(sample, joints=far), person("b", 4)], tmp_path / "shards", SIZE)
    read = next(one for one in read_split(tmp_path / "shards", "train") if one.id == "a")
    np.testing.assert_array_equal(read.joints, frame(sample.image, sample.labels, edge, SIZE).joints)
    np.testing.assert_array_equal(read.joints[2], MISSING)


def test_a_frame_beyond_memory_is_refused_by_its_size(person):
    sample = person("a", 3)
    far = sample.joints.copy()
    far[far[:, 2] > 0, 0] = np.linspace(0, 1e6, int(far[:, 2].sum()))
    with pytest.raises(DataError, match="leave out joints that lie far away"):
        frame(sample.image, sample.labels, far, SIZE)


@pytest.mark.parametrize("kind", READERS)
def test_both_decoders_read_whatever_was_kept(person, tmp_path, kind):
    """Every form that a photo may have, through `pack`, to the readers."""
    people = [person(f"p{n}", n) for n in range(len(RULES))]
    folder_ = write_folder(tmp_path / "people", people, "png")
    for sample, (make, _, _) in zip(people, RULES.values(), strict=True):
        (folder_ / "img" / f"{sample.id}.png").write_bytes(make())
    manifest = pack(read_folder(folder_, "train"), tmp_path / "shards", SIZE, "whole")
    assert (manifest.rejected, manifest.split("train").samples) == (0, len(RULES))
    data = config.Data(shards=str(tmp_path / "shards"), image_size=SIZE, reader=kind, batch=4)
    read = [name for pairs in itertools.islice(open_reader(data, "train"), 3) for name in pairs.source.ids]
    assert sorted(read) == sorted(sample.id for sample in people)


def test_unreadable_ones_carry_folder_and_split(folder):
    (folder / "img" / "bad.png").write_bytes(b"")
    assert [one for one in read_folder(folder, "train") if isinstance(one, Unreadable)] == [
        Unreadable("bad", "`img/bad.png` is empty; copy it again", "train", "people")
    ]
