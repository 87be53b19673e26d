import cv2
import numpy as np
import pytest

from spt_dist.body import MISSING
from spt_dist.data.frame import MARGIN, frame, frame_joints
from spt_dist.data.importers import read_folder


def joints_at(*xy: tuple[float, float]) -> np.ndarray:
    joints = np.full((18, 3), MISSING, np.float32)
    for index, (x, y) in enumerate(xy):
        joints[index] = (x, y, 1)
    return joints


def test_whole_picture_of_the_right_size_is_untouched(person):
    sample = person("a", 0)
    framed = frame(sample.image, sample.labels, sample.joints, (24, 16), "whole")
    np.testing.assert_array_equal(framed.image, sample.image)
    np.testing.assert_array_equal(framed.labels, sample.labels)
    np.testing.assert_array_equal(framed.joints, sample.joints)


def test_whole_pads_to_the_shape_and_moves_joints():
    image = np.full((10, 20, 3), 9, np.uint8)
    labels = np.ones((10, 20), np.uint8)
    framed = frame(image, labels, joints_at((0, 0), (19, 9)), (40, 40), "whole")
    assert framed.image.shape == (40, 40, 3)
    assert (framed.image == 9).all()  # the edge goes on
    assert framed.labels[:10].max() == 0
    assert framed.labels[10:30].min() == 1
    assert framed.labels[30:].max() == 0
    np.testing.assert_allclose(framed.joints[:2], [(0.5, 10.5, 1), (38.5, 28.5, 1)])


@pytest.mark.parametrize("size", [(64, 64), (64, 32), (33, 47), (128, 64), (1, 1)])
def test_joints_stay_on_what_they_point_at(size):
    """A blob of another label around each joint is found again where the joint went."""
    image, labels = np.zeros((200, 150, 3), np.uint8), np.zeros((200, 150), np.uint8)
    points = [(40, 30), (90, 60), (60, 170)]
    for value, point in enumerate(points, start=1):
        cv2.circle(labels, point, 9, value, -1)
    framed = frame(image, labels, joints_at(*points), size, "person")
    assert framed.labels.shape == size
    if min(size) < 8:
        return
    for value, (x, y, visible) in enumerate(framed.joints[:3], start=1):
        rows, columns = np.nonzero(framed.labels == value)
        assert visible
        assert abs(columns.mean() - x) < 0.6
        assert abs(rows.mean() - y) < 0.6


def test_person_fills_the_frame():
    joints = joints_at((50, 20), (60, 120))
    moved = frame_joints(joints, (200, 200), (64, 64), "person")
    height = 64 / (1 + 2 * MARGIN)
    assert moved[1, 1] - moved[0, 1] == pytest.approx(height, rel=0.03)
    np.testing.assert_allclose(moved[:2].mean(0), (31.5, 31.5, 1), atol=0.6)


@pytest.mark.parametrize("how", ["person", "whole"])
def test_a_pose_alone_moves_as_with_its_picture(person, how):
    sample = person("a", 5)
    framed = frame(sample.image, sample.labels, sample.joints, (40, 30), how)
    np.testing.assert_array_equal(framed.joints, frame_joints(sample.joints, (24, 16), (40, 30), how))


def test_without_joints_the_person_is_the_whole(person):
    sample = person("a", 5)
    none = joints_at()
    person_, whole = (frame(sample.image, sample.labels, none, (20, 20), how) for how in ("person", "whole"))
    np.testing.assert_array_equal(person_.image, whole.image)
    np.testing.assert_array_equal(person_.joints, none)


def test_a_joint_outside_is_missing():
    moved = frame_joints(joints_at((-5, 3), (3, 3), (30, 3)), (10, 10), (10, 10), "whole")
    np.testing.assert_array_equal(moved[:3], [MISSING, (3, 3, 1), MISSING])


def test_real_people_stay_whole(data):
    """No foreground and no joint of a photo is lost to the frame, and the person gains room."""
    for sample, _ in zip(read_folder(data / "ccp256", "val"), range(5), strict=False):
        framed = frame(sample.image, sample.labels, sample.joints, (128, 64), "person")
        assert framed.joints[:, 2].sum() == sample.joints[:, 2].sum()
        assert (framed.labels > 0).mean() > 1.5 * (sample.labels > 0).mean()
        assert framed.labels[[0, -1]].max() == 0
