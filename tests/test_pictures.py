"""Pictures: the right colours in the right places, at the size at which people see them."""

import cv2
import numpy as np
import pytest

from spt_dist import pictures
from spt_dist.body import FLIP_JOINTS, LABEL_COLOURS, Joint, Label

SIZE = (64, 48)
STANDING = {
    "NOSE": (24, 9), "NECK": (24, 16), "R_SHOULDER": (17, 17), "L_SHOULDER": (31, 17), "R_ELBOW": (14, 26),
    "L_ELBOW": (34, 26), "R_WRIST": (13, 34), "L_WRIST": (35, 34), "R_HIP": (20, 36), "L_HIP": (28, 36),
    "R_KNEE": (19, 47), "L_KNEE": (29, 47), "R_ANKLE": (19, 58), "L_ANKLE": (29, 58), "R_EYE": (22, 8),
    "L_EYE": (26, 8), "R_EAR": (20, 9), "L_EAR": (28, 9),
}  # fmt: skip


@pytest.fixture
def standing():
    """A person who faces the camera."""
    return np.array([(*STANDING[joint.name], 1) for joint in Joint], np.float32)


def middle(joints, upper: Joint, lower: Joint, scale: float) -> tuple[int, int]:
    x, y = (joints[[upper, lower], :2].mean(0) + 0.5) * scale - 0.5
    return round(y), round(x)


@pytest.mark.parametrize(("height", "tolerance"), [(64, 45), (256, 3)])  # a line of 1 px blends with the backdrop
def test_limbs_are_coloured_by_side(standing, height, tolerance):
    drawn = pictures.skeleton_picture(standing, SIZE, height=height)
    assert drawn.shape == (height, height * 3 // 4, 3)
    for upper, lower, colour in pictures.BONES[2:6]:  # the legs, which nothing covers
        np.testing.assert_allclose(drawn[middle(standing, upper, lower, height / 64)], colour, atol=tolerance)
    assert (drawn[0, 0] == pictures.BACKDROPS["dark"]).all()
    light = pictures.skeleton_picture(standing, SIZE, height=height, backdrop="light")
    assert (light[0, 0] == pictures.BACKDROPS["light"]).all()


def test_missing_joints_are_left_out(standing):
    standing[Joint.R_KNEE] = (-1, -1, 0)
    drawn = pictures.skeleton_picture(standing, SIZE, height=256)
    assert not (np.abs(drawn.astype(int) - pictures.RIGHT_LEG).max(2) < 30).any()
    assert (np.abs(drawn.astype(int) - pictures.LEFT_LEG).max(2) < 30).any()
    nobody = pictures.skeleton_picture(np.tile(np.float32([-1, -1, 0]), (18, 1)), SIZE)
    assert (nobody == pictures.BACKDROPS["dark"]).all()


def test_joints_beyond_the_picture_are_cut_off(standing):
    standing[:, 0] += 1000
    assert (pictures.skeleton_picture(standing, SIZE) == pictures.BACKDROPS["dark"]).all()


def test_parsing_maps_keep_hard_pixels():
    labels = np.arange(len(Label), dtype=np.uint8).reshape(2, 5)
    drawn = pictures.parsing_picture(labels, height=20)
    assert drawn.shape == (20, 50, 3)
    np.testing.assert_array_equal(drawn[::10, ::10].reshape(-1, 3), LABEL_COLOURS)
    np.testing.assert_array_equal(drawn, np.asarray(LABEL_COLOURS, np.uint8)[labels].repeat(10, 0).repeat(10, 1))


def test_views(standing):
    assert pictures.view_label(standing) == "front"
    assert pictures.view_label(standing[list(FLIP_JOINTS)]) == "back"
    turned = standing.copy()
    turned[:, 0] = 24 + 0.1 * (turned[:, 0] - 24)
    assert pictures.view_label(turned) == "side"
    by_hips = standing.copy()
    by_hips[Joint.L_SHOULDER] = (-1, -1, 0)
    assert pictures.view_label(by_hips) == "front"
    by_hips[[Joint.R_HIP, Joint.L_HIP]] = (-1, -1, 0)
    assert pictures.view_label(by_hips) == "unknown"


def test_a_grid_holds_its_pictures_between_white_gutters():
    colours = np.array([[(200, 30, 40), (20, 160, 60)], [(30, 40, 220), (90, 90, 90)]], np.uint8)
    cells = [[np.broadcast_to(colour, (*SIZE, 3)).copy() for colour in row] for row in colours]
    drawn = pictures.grid(cells, ["left", "right"], ["one", "two"])
    height = pictures.cell_height(SIZE)
    assert height == 256
    width, gutter = height * 3 // 4, pictures.GUTTER
    bottom, right = drawn.shape[0] - gutter, drawn.shape[1] - gutter
    for row in range(2):
        for column in range(2):
            y, x = (
                bottom - (2 - row) * height - (1 - row) * gutter,
                right - (2 - column) * width - (1 - column) * gutter,
            )
            assert (drawn[y : y + height, x : x + width] == colours[row, column]).all()
    assert (drawn[:, right - width - gutter + 2 : right - width - 2] == 255).all()  # the gutter, but its hair lines
    y, x = bottom - 2 * height - gutter, right - 2 * width - gutter
    assert drawn[: y - 2, x:].min() < 100  # the headings are written
    assert drawn[y:, : x - 2].min() < 180
    np.testing.assert_array_equal(drawn, pictures.grid(cells, ["left", "right"], ["one", "two"]))


def test_a_heading_stays_within_its_column():
    cell = np.zeros((*SIZE, 3), np.uint8)
    long = pictures.grid([[cell, cell]], ["paired, with the paper's networks", ""])
    short = pictures.grid([[cell, cell]], ["paired", ""])
    assert long.shape[0] > short.shape[0]  # further lines
    middle, rows = long.shape[1] // 2, slice(0, -pictures.cell_height(SIZE) - 2 * pictures.GUTTER)
    assert long[rows, :middle].min() < 100
    assert (long[rows, middle + pictures.GUTTER :] == 255).all()


def test_a_grid_that_does_not_fit_is_refused():
    cell = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(ValueError, match="row 1 has 1 pictures but `headings` has 2"):
        pictures.grid([[cell, cell], [cell]], ["a", "b"])
    with pytest.raises(ValueError, match="`rows` is empty"):
        pictures.grid([], ["a"])
    with pytest.raises(ValueError, match="`row_headings` has 1 texts but `rows` has 2"):
        pictures.grid([[cell], [cell]], ["a"], ["one"])


def test_saved_pictures_come_back(standing, tmp_path):
    drawn = pictures.skeleton_picture(standing, SIZE)
    pictures.save(drawn, tmp_path / "a.png")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], drawn)
    pictures.save(drawn, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").is_file()
    with pytest.raises(OSError, match=r"cannot write the picture .*: there is no folder"):
        pictures.save(drawn, tmp_path / "a.png" / "a.png")
    for name in ("a.xyz", "a"):
        with pytest.raises(OSError, match=r"its name must end in \.png or \.jpg"):
            pictures.save(drawn, tmp_path / name)
