"""Joint orders, spelled out, and what becomes of them."""

import json

import numpy as np
import pytest

from spt_dist.body import FLIP_JOINTS, MISSING, Joint
from spt_dist.data.sources.orders import FIELD, ORDERS, to_field

SPELLED = {
    "openpose-18": "nose neck RSho RElb RWri LSho LElb LWri RHip RKne RAnk LHip LKne LAnk REye LEye REar LEar",
    "openpose-25": (
        "nose neck RSho RElb RWri LSho LElb LWri MidHip RHip RKne RAnk LHip LKne LAnk REye LEye REar LEar "
        "LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
    ),
    "coco-17": "nose LEye REye LEar REar LSho RSho LElb RElb LWri RWri LHip RHip LKne RKne LAnk RAnk",
    "mediapipe-33": (
        "nose LEyeIn LEye LEyeOut REyeIn REye REyeOut LEar REar LMouth RMouth LSho RSho LElb RElb LWri RWri LPinky "
        "RPinky LIndex RIndex LThumb RThumb LHip RHip LKne RKne LAnk RAnk LHeel RHeel LFoot RFoot"
    ),
}
SHORT = ("nose", "neck", "RSho", "RElb", "RWri", "LSho", "LElb", "LWri", "RHip", "RKne", "RAnk", "LHip", "LKne", "LAnk")
SHORT += ("REye", "LEye", "REar", "LEar")  # our 18 places, as the field's files fill them


@pytest.mark.parametrize("order", SPELLED)
def test_each_joint_lands_in_its_place(order):
    spelled = SPELLED[order].split()
    points = np.array([(n + 0.25, 100 + n, 1) for n in range(len(spelled))])
    joints = to_field(points, order)
    assert len(ORDERS[order].joints) == len(spelled)
    for place, name in enumerate(SHORT):
        if name in spelled:
            at = spelled.index(name)
            np.testing.assert_array_equal(joints[place], (at + 0.25, 100 + at, 1), err_msg=name)


@pytest.mark.parametrize("order", ["coco-17", "mediapipe-33"])
def test_a_neck_is_the_middle_of_both_shoulders(order):
    names = ORDERS[order].joints
    points = np.zeros((len(names), 3))
    points[names.index("left shoulder")], points[names.index("right shoulder")] = (10, 20, 1), (30, 24, 1)
    np.testing.assert_array_equal(to_field(points, order)[Joint.NECK], (20, 22, 1))
    points[names.index("left shoulder"), 2] = 0
    np.testing.assert_array_equal(to_field(points, order)[Joint.NECK], MISSING)


@pytest.mark.parametrize(("order", "low", "high"), [("openpose-25", 0.1, 0.11), ("mediapipe-33", 0.5, 0.51)])
def test_unsure_joints_are_missing(order, low, high):
    points = np.ones((len(ORDERS[order].joints), 3))
    for confidence, seen in ((low, 0), (high, 1), (np.nan, 0)):
        points[:, 2] = confidence
        assert (to_field(points, order)[:, 2] == seen).all()


def test_our_places_are_those_of_body_with_its_eyes_and_ears_the_other_way():
    def side(name: str) -> str:
        return {"left": "L_", "right": "R_"}[name.split()[0]] + name.split()[1].upper() if " " in name else name.upper()

    named = [Joint[side(name)] for name in FIELD]
    assert named[:14] == list(Joint)[:14]
    assert named[14:] == [FLIP_JOINTS[joint] for joint in list(Joint)[14:]]


def test_published_rows_have_the_right_ear_in_the_seventeenth_place(data):
    """With both ears and shoulders seen, the ear of place 16 lies on the side of the right shoulder."""
    same = other = 0
    for file in sorted((data / "pose_bank").glob("*annotation*.csv")):
        for row in file.read_text().splitlines()[1:]:
            x = np.array(json.loads(row.split(":")[2]))
            if (x[[2, 5, 16, 17]] >= 0).all() and x[2] != x[5] and x[16] != x[17]:
                agrees = (x[17] > x[16]) == (x[5] > x[2])
                same, other = same + agrees, other + (not agrees)
    assert same > 13_000
    assert other < 50
