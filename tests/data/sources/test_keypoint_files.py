"""Keypoints in every format; bad records become rows with a problem."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spt_dist.data.schema import DataError
from spt_dist.data.sources.keypoint_files import read_rows


def test_csv_lines_are_numbered_and_bad_ones_kept(tmp_path, table, line):
    bad = ("a.jpg", "a.jpg:[1, 2]:[3]", "a.jpg:" + ":".join([str([1] * 17)] * 2), f"a.jpg:{['x'] * 18}:{[1] * 18}")
    bad += (f"a.jpg:{[float('nan')] * 18}:{[1] * 18}".replace("nan", "NaN"), f"a.jpg:{[10**400] * 18}:{[1] * 18}")
    bad += ("a.jpg:" + "[" * 5000 + ":[]",)
    file = table(tmp_path / "k.csv", line("good.jpg", missing=(3,)), "", *bad)
    good, *rows = read_rows(file, "spt", (128, 64), "test")
    assert (good.name, good.where, good.frame, good.split) == ("good.jpg", "k.csv:2", (128, 64), "test")
    assert good.points is not None
    np.testing.assert_array_equal(good.points[2:4], [(7, 11, 1), (-1, -1, 0)])
    assert [row.where for row in rows] == [f"k.csv:{number}" for number in range(4, 4 + len(bad))]
    assert all(row.points is None and row.name == "a.jpg" for row in rows)
    assert "two JSON lists of 18" in rows[2].problem


def test_csv_of_another_order(tmp_path, table):
    file = table(tmp_path / "k.csv", f"a.jpg:{list(range(17))}:{list(range(17))}")
    assert next(read_rows(file, "coco-17")).points is not None
    assert "of 18 numbers" in next(read_rows(file, "spt")).problem


def test_openpose_takes_the_one_seen_best(tmp_path):
    people = [{"pose_keypoints_2d": [n, 2 * n, c] * 25} for n, c in ((1, 0.2), (2, 0.9), (3, 0.4))]
    for name, tree in {
        "a_keypoints.json": {"people": people},
        "b_keypoints.json": {"people": []},
        "c_keypoints.json": {"people": [{"pose_keypoints_2d": [5, 6, 0.7] * 18}]},
        "d_keypoints.json": {"people": [{"pose_keypoints_2d": [1, 2]}]},
        "e_keypoints.json": {"version": 1.3},
        "f_keypoints.json": {"people": 3},
        "g_keypoints.json": {"people": [None]},
    }.items():
        (tmp_path / name).write_text(json.dumps(tree))
    (tmp_path / "h_keypoints.json").write_text("{")
    rows = {row.name: row for row in read_rows(tmp_path, "spt")}
    assert list(rows) == list("abcdefgh")
    np.testing.assert_array_equal(rows["a"].points, np.tile((2, 4, 0.9), (25, 1)))
    assert (rows["a"].order, rows["a"].people, rows["c"].order) == ("openpose-25", 3, "openpose-18")
    assert rows["b"].points is not None
    assert not rows["b"].points.any()
    assert [bool(rows[name].problem) for name in "abcdefgh"] == [False] * 3 + [True] * 5


def test_coco_finds_the_photo_of_each_person(tmp_path):
    def person(image, seen, start=0):
        return {"image_id": image, "keypoints": [start, start + 1, 2] * seen + [0, 0, 0] * (17 - seen)}

    tree = {
        "images": [{"id": 7, "file_name": "val/a.jpg"}, {"id": "x", "file_name": "b.jpg"}, {"file_name": "c.jpg"}],
        "annotations": [person(7, 4), person(7, 9, 5), person("x", 2), person(99, 3), {"image_id": 7}, None],
    }
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(tree))
    *bad, first, second = read_rows(file, "spt")
    assert [row.where for row in bad] == [f"coco.json:annotations[{number}]" for number in (3, 4, 5)]
    assert all(row.problem for row in bad)
    assert (first.name, first.people, second.name, first.order) == ("a.jpg", 2, "b.jpg", "coco-17")
    assert first.points is not None
    np.testing.assert_array_equal(first.points[8:10], [(5, 6, 2), (0, 0, 0)])


def test_named_points_of_mediapipe(tmp_path):
    points = [{"x": n / 40, "y": n / 80, "z": 0.1, "visibility": 0.9} for n in range(33)]
    file = tmp_path / "pose.json"
    file.write_text(json.dumps({"a.jpg": points, "b.jpg": points[:9], "c.jpg": [[0.5, 0.5], None, *points[2:]]}))
    a, b, c = read_rows(file, "mediapipe-33")
    assert a.points is not None
    np.testing.assert_allclose(a.points[12], (0.3, 0.15, 0.9))
    assert "expected 33 points" in b.problem
    assert c.points is not None
    np.testing.assert_array_equal(c.points[:2], [(0.5, 0.5, 1), (-1, -1, 0)])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("k.csv", "a,b\nc,d\n", "no annotation file"),
        ("k.json", "{", "not JSON"),
        ("k.json", "[1]", "JSON list"),
        ("k.txt", "", "endings are .csv and .json"),
    ],
)
def test_what_is_no_keypoint_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name, "spt"))
    with pytest.raises(DataError, match="do not exist"):
        read_rows(tmp_path / "gone", "spt")


def test_an_empty_folder_says_what_openpose_writes(tmp_path):
    with pytest.raises(DataError, match=r"_keypoints\.json"):
        list(read_rows(tmp_path, "spt"))


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=60) | st.builds("{}:{}:{}".format, st.text(max_size=8), VALUE, VALUE), max_size=8))
def test_no_line_of_a_csv_can_crash(tmp_path, lines):
    file = tmp_path / "k.csv"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        rows = list(read_rows(file, "spt"))
    except DataError:
        return
    assert all((row.points is None) == bool(row.problem) for row in rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUE | st.fixed_dictionaries({"images": VALUE, "annotations": VALUE, "people": VALUE}))
def test_no_json_can_crash(tmp_path, tree):
    file = tmp_path / "pose.json"
    file.write_text(json.dumps(tree))
    for path in (file, tmp_path):
        try:
            rows = list(read_rows(path, "spt"))
        except DataError:
            continue
        assert all((row.points is None) == bool(row.problem) for row in rows)
