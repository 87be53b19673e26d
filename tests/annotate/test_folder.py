"""`spt annotate`: from photos to the folder that `spt pack` reads, with every photo accounted for."""

import json

import cv2
import numpy as np
import pytest
from annotators import BLOCK, GROUND, paint
from broken import saved, turned
from typer.testing import CliRunner

from spt_dist.body import Label
from spt_dist.cli import app
from spt_dist.data.importers import read_folder
from spt_dist.data.sources.orders import to_field
from spt_dist.person import read_keypoints

SCENES = {"a.png": ((240, 180), (50, 30, 120, 200)), "b.png": ((181, 333), (100, 20, 171, 171))}


def spt(*words, code=0):
    said = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=code == 0)
    assert said.exit_code == code, said.output
    return said.output


@pytest.fixture
def photos(tmp_path):
    """Two people, nobody, a broken file, and a person whose photo EXIF turns upright."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for name, scene in SCENES.items():
        (folder / name).write_bytes(saved(paint(*scene)[0]))
    (folder / "trip" / "turned.png").write_bytes(turned(paint(*SCENES["a.png"])[0], 6))
    (folder / "empty.png").write_bytes(saved(np.full((60, 50, 3), GROUND, np.uint8)))
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_a_folder_is_annotated_and_packed(photos, models, tmp_path):
    out, sheet = tmp_path / "people", tmp_path / "sheet.png"
    said = spt("annotate", photos, "-o", out, "--models", models / "simcc.toml", "--sheet", sheet)
    assert "5 rows read, 3 imported; dropped: 1 unreadable photo, 1 no person found" in said
    dropped = {line["name"]: line for line in map(json.loads, (out / "dropped.jsonl").read_text().splitlines())}
    assert set(dropped) == {"broken.jpg", "empty.png"}
    assert "sure of 0 joints" in dropped["empty.png"]["detail"]
    account = json.loads((out / "annotate.json").read_text())
    assert account["annotator"].startswith("simcc.toml:")
    assert account["rows"] == {"read": 5, "imported": 3, "dropped": {"unreadable photo": 1, "no person found": 1}}
    samples = {sample.id: sample for sample in read_folder(out, "train")}
    assert set(samples) == {"a", "b", "trip_turned"}
    for name, scene in (*SCENES.items(), ("trip_turned.png", SCENES["a.png"])):
        photo, dots = paint(*scene)
        sample = samples[name[:-4]]
        np.testing.assert_array_equal(sample.image, photo)
        wanted = to_field(np.column_stack((dots, np.ones(len(dots)))), "coco-17")
        np.testing.assert_allclose(sample.joints, wanted, atol=0.5)
        agree = ((sample.labels == Label.UPPER) == (photo == BLOCK).all(-1)).mean()
        assert agree > 0.9  # all but edges and the dots' own px
    drawn = cv2.imread(str(sheet))
    assert drawn.shape[1] > 2 * drawn.shape[0] > 800  # three photos side by side, each twice
    packed = spt(
        "pack", out, "-o", tmp_path / "shards", "--size", "64x48", "--duplicates", "keep"
    )  # all three look alike
    assert "3 train" in packed


def test_single_photos_and_shares(photos, models, tmp_path):
    out = tmp_path / "people"
    spt("annotate", photos / "a.png", photos / "b.png", "-o", out, "--models", models / "simcc.toml", "--test", 0.99)
    assert (out / "test.txt").read_text().split() == ["a.png", "b.png"]
    assert read_keypoints(f"{out}:a").size == (240, 180)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{photos}/a.png", "{photos}/none.png"), "none.png` is no photo that is there"),
        (("{photos}/a.png", "{photos}/trip"), "and a folder; give one folder"),
        (("{photos}/empty.png",), "1 no person found"),
        (("{photos}", "--models", "nowhere.toml"), "`nowhere.toml` is no annotator"),
    ],
)
def test_mistakes_are_named(photos, models, tmp_path, words, said):
    found = [word.format(photos=photos) for word in words]
    options = () if "--models" in found else ("--models", models / "simcc.toml")
    result = CliRunner().invoke(app, [*map(str, ("annotate", *found, "-o", tmp_path / "out", *options))])
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()
