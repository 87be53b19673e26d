"""From the px of an annotation to those of a photo."""

import json

import numpy as np
import pytest

from spt_dist.body import MISSING
from spt_dist.data.schema import DataError
from spt_dist.data.sources.frames import FASHION, FASHION_MIDDLE, from_fractions, inside, to_photo
from spt_dist.data.sources.names import deepfashion


def joints_at(*xy: tuple[float, float]) -> np.ndarray:
    joints = np.full((18, 3), MISSING, np.float32)
    for place, (x, y) in enumerate(xy):
        joints[place] = (x, y, 1)
    return joints


def test_the_same_size_changes_nothing():
    joints = joints_at((0, 0), (47, 63), (10.25, 3))
    np.testing.assert_array_equal(to_photo(joints, (64, 48), (64, 48)), joints)


def test_the_middle_of_deepfashion_is_forty_px_in():
    whole, middle = joints_at((40, 7), (215, 255), (100, 1)), joints_at((0, 7), (175, 255), (60, 1))
    np.testing.assert_array_equal(to_photo(whole, FASHION, FASHION_MIDDLE, fashion=True), middle)
    np.testing.assert_array_equal(to_photo(middle, FASHION_MIDDLE, FASHION, fashion=True), whole)


def test_a_larger_photo_is_the_middle_part():
    moved = to_photo(joints_at((40, 0), (215, 255)), FASHION, (1101, 750), fashion=True)
    scale = np.array((750 / 176, 1101 / 256))
    np.testing.assert_allclose(moved[0, :2], 0.5 * scale - 0.5, atol=1e-3)
    np.testing.assert_allclose(moved[1, :2], np.array((175.5, 255.5)) * scale - 0.5, atol=1e-3)


def test_pixel_centres_scale_about_the_corner():
    np.testing.assert_allclose(
        to_photo(joints_at((0, 0), (63, 127)), (128, 64), (256, 128))[:2, :2], [[0.5, 0.5], [126.5, 254.5]]
    )


def test_joints_outside_are_missing_and_the_rim_is_clipped():
    kept = inside(joints_at((-0.4, 3), (-0.6, 3), (15.4, 3), (15.6, 3)), (8, 16))
    np.testing.assert_array_equal(kept[:4], [(0, 3, 1), MISSING, (15, 3, 1), MISSING])


def test_fractions_become_px():
    np.testing.assert_allclose(
        from_fractions(joints_at((0.5, 0.5), (1.2, 0.5)), (64, 48))[:2], [(23.5, 31.5, 1), MISSING]
    )


def test_another_shape_names_the_way_out():
    with pytest.raises(DataError, match=r"256x256 px, the photo has 100x300; .*--keypoints-size"):
        to_photo(joints_at((1, 1)), FASHION, (100, 300), fashion=True)
    with pytest.raises(DataError, match="the photo has 256x176"):
        to_photo(joints_at((1, 1)), FASHION, FASHION_MIDDLE)


def test_the_two_lineages_differ_by_the_margin(data):
    """Where both annotate a photo, x differs by 40 and y by nothing."""
    tables = []
    for name in ("fashion-resize-annotation-test.csv", "fasion-annotation-test.csv"):
        table = {}
        for row in (data / "pose_bank" / name).read_text().splitlines()[1:]:
            photo, ys, xs = row.split(":")
            about = deepfashion(photo)
            assert about is not None
            table[about.key] = np.column_stack((json.loads(xs), json.loads(ys)))
        tables.append(table)
    middle, whole = tables
    shared = [(middle[key], whole[key]) for key in middle.keys() & whole.keys()]
    apart = np.concatenate([(a - b)[(a >= 0).all(1) & (b >= 0).all(1)] for a, b in shared])
    assert len(apart) > 3800
    np.testing.assert_array_equal(np.median(apart, axis=0), (-40, 0))
    assert (np.abs(apart - (-40, 0)) <= 1).all(1).mean() > 0.9
