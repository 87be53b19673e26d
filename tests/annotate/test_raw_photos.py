"""The drawing verbs on raw photos: what is not given is annotated, what is given counts."""

import json

import cv2
import numpy as np
import pytest
from annotators import paint
from typer.testing import CliRunner

from spt_dist.body import Label
from spt_dist.cli import app
from spt_dist.infer import Predictor
from spt_dist.person import find_person, read_person, read_pose

SCENES = {"a.png": ((240, 180), (50, 30, 120, 200)), "b.png": ((181, 333), (100, 20, 171, 171))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, scene in SCENES.items():
        cv2.imwrite(str(folder / name), cv2.cvtColor(paint(*scene)[0], cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(folder / "empty.png"), np.full((60, 50, 3), 128, np.uint8))
    return folder


@pytest.fixture
def by(models):
    return str(models / "simcc.toml")


def spt(*words):
    said = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def test_what_is_given_of_a_person_counts(photos, by, annotator, tmp_path):
    photo, _ = paint(*SCENES["a.png"])
    found = annotator.annotate(photo)
    raw = find_person(str(photos / "a.png"), by)
    np.testing.assert_array_equal(raw.image, photo)
    np.testing.assert_array_equal(raw.labels, found.labels)
    np.testing.assert_array_equal(raw.joints, found.joints)
    cv2.imwrite(str(tmp_path / "map.png"), np.full(photo.shape[:2], Label.SKIRT, np.uint8))
    (tmp_path / "joints.json").write_text(json.dumps([[5, 6]] * 18))
    mapped = read_person(photos / "a.png", parsing=tmp_path / "map.png", models=by)
    assert (mapped.labels == Label.SKIRT).all()
    np.testing.assert_array_equal(mapped.joints, found.joints)
    posed = read_person(photos / "a.png", keypoints=tmp_path / "joints.json", models=by)
    assert (posed.joints == (5, 6, 1)).all()
    np.testing.assert_array_equal(posed.labels, found.labels)


def test_generate_from_two_raw_photos(photos, by, tiny_run, tmp_path):
    out = tmp_path / "out.png"
    spt("generate", tiny_run, "--image", photos / "a.png", "--pose-from", photos / "b.png", "--models", by, "-o", out)
    person, wanted = find_person(str(photos / "a.png"), by), read_pose(photos / "b.png", by)
    assert wanted.size == SCENES["b.png"][0]
    drawn = Predictor.load(tiny_run / "weights").generate(*person, wanted.joints, wanted.size)
    np.testing.assert_array_equal(cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB), drawn.image)


def test_the_other_verbs_take_raw_photos(photos, by, tiny_run, tmp_path):
    a, b, out = photos / "a.png", photos / "b.png", tmp_path / "out.png"
    (tmp_path / "pose.json").write_text(json.dumps([[i % 12 + 1, i + 2] for i in range(18)]))
    cv2.imwrite(str(tmp_path / "map.png"), np.full((240, 180), Label.SKIRT, np.uint8))
    edited = ("edit", a, "--parsing-edited", tmp_path / "map.png")
    poses = ("poses", a, b, "--pose", tmp_path / "pose.json")
    for verb, *rest in (("transfer", a, b), edited, poses):
        out.unlink(missing_ok=True)
        spt(verb, tiny_run, *rest, "--models", by, "-o", out)
        assert cv2.imread(str(out)) is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image", "{a}"), "give the wanted pose by --pose, or --pose-from"),
        (("--image", "{a}", "--pose", "p.json", "--pose-from", "{a}"), "one of the two"),
        (("--image", "{a}", "--pose-from", "{empty}"), "empty.png` cannot be annotated: no person found"),
        (("--image", "{empty}", "--pose-from", "{a}"), "empty.png` cannot be annotated: no person found"),
        (("--image", "{a}", "--pose-from", "{a}", "--models", "off"), "no annotator is wanted"),
    ],
)
def test_mistakes_are_named(photos, by, tiny_run, tmp_path, words, said):
    found = [word.format(a=photos / "a.png", empty=photos / "empty.png") for word in words]
    options = [] if "--models" in found else ["--models", by]
    result = CliRunner().invoke(app, ["generate", str(tiny_run), *found, *options, "-o", str(tmp_path / "o.png")])
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
