"""Why a picture is bad: each rule on poses and maps made for it."""

import pytest
import torch

from spt_dist.body import HEAD_JOINTS, Joint
from spt_dist.data.pipeline import read_split
from spt_dist.failures import (
    APPEARANCE,
    MISSING_JOINTS,
    RARE_POSE,
    RULES,
    UNSEEN_SIDE,
    WRONG_PARSING,
    Evidence,
    explain,
    read_poses,
)

PAIRS = 20
L_ARM = (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST)
R_ARM = (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST)


def standing(facing="front"):
    """A pose in px with every joint visible, seen from the front or the back."""
    joints = torch.ones(18, 3)
    joints[:, 0] = 30.0
    joints[:, 1] = torch.arange(18) * 2.0
    side = 8.0 if facing == "front" else -8.0
    for joint in Joint:
        joints[joint, 0] += side * (joint.name.startswith("L_") - joint.name.startswith("R_"))
    joints[[Joint.R_SHOULDER, Joint.L_SHOULDER], 1] = 15.0
    joints[[Joint.R_HIP, Joint.L_HIP], 1] = 40.0
    return joints


def hide(joints, hidden):
    joints = joints.clone()
    joints[list(hidden)] = torch.tensor([-1.0, -1.0, 0.0])
    return joints


def evidence(source, target, mean_iou=0.7, pose_distance=0.01):
    """The pair in question among ordinary ones, whose maps go from 0.50 to 0.86 and poses from 0.001 to 0.019."""
    others = PAIRS - 1
    return Evidence(
        torch.cat([torch.tensor([mean_iou]), 0.5 + 0.02 * torch.arange(others)]),
        torch.cat([torch.tensor([pose_distance]), 0.001 * torch.arange(1, others + 1)]),
        torch.stack([source, *[standing()] * others]),
        torch.stack([target, *[standing()] * others]),
    )


def test_an_ordinary_pair_has_no_reason_but_the_appearance():
    assert explain(evidence(standing(), standing()), 0) == {}
    assert list(RULES)[-1] == APPEARANCE


@pytest.mark.parametrize(("who", "index"), [("source", 0), ("target", 1)])
def test_few_joints_on_either_side_are_missing(who, index):
    few = hide(standing(), (*HEAD_JOINTS, Joint.R_KNEE, Joint.R_ANKLE))  # 11 are left
    pair = [standing(), standing()]
    pair[index] = few
    assert explain(evidence(*pair), 0)[MISSING_JOINTS] == f"the {who} shows 11 of 18 joints, 12 are needed"
    pair[index] = hide(standing(), (*HEAD_JOINTS, Joint.R_ANKLE))  # 12: enough
    assert explain(evidence(*pair), 0) == {}


def test_a_limb_whose_other_side_is_seen_can_be_warped():
    one_arm, no_arm = hide(standing(), L_ARM), hide(standing(), (*L_ARM, *R_ARM))
    assert explain(evidence(one_arm, standing()), 0) == {}
    found = explain(evidence(no_arm, standing()), 0)[MISSING_JOINTS]
    assert found == (
        "the target shows right upper arm, left upper arm, right forearm and left forearm, the source on neither side"
    )
    assert explain(evidence(no_arm, no_arm), 0) == {}  # nobody asks for it


def test_a_pose_is_rare_beyond_nine_tenths_of_the_pairs():
    assert explain(evidence(standing(), standing(), pose_distance=0.1), 0) == {
        RARE_POSE: "the nearest training pose is 0.100 away, 90% of the pairs have one within 0.018"
    }
    assert explain(evidence(standing(), standing(), pose_distance=0.0175), 0) == {}


def test_a_map_is_wrong_below_four_fifths_of_the_pairs():
    found = explain(evidence(standing(), standing(), mean_iou=0.4), 0)
    assert found == {WRONG_PARSING: "H_S's map has a mIoU of 0.40, 80% of the maps have 0.56 and more"}
    assert explain(evidence(standing(), standing(), mean_iou=0.6), 0) == {}


def test_reasons_come_in_the_order_in_which_a_picture_is_made():
    found = explain(evidence(hide(standing(), (*L_ARM, *R_ARM)), standing("back"), 0.1, 0.5), 0)
    assert list(found) == [MISSING_JOINTS, RARE_POSE, WRONG_PARSING]  # without shoulders the hips tell the view
    found = explain(evidence(standing(), standing("back")), 0)
    assert found == {UNSEEN_SIDE: "the source is seen from the front, the target from the back"}
    assert list(RULES) == [MISSING_JOINTS, RARE_POSE, WRONG_PARSING, UNSEEN_SIDE, APPEARANCE]


def test_training_poses_are_read_without_their_pictures(tiny_shards, monkeypatch):
    wanted = [torch.from_numpy(sample.joints) for sample in read_split(tiny_shards, "train")]
    monkeypatch.setattr("spt_dist.data.schema._imdecode", lambda *parts: pytest.fail("a picture was decoded"))
    found = list(read_poses(str(tiny_shards)))
    assert torch.equal(torch.stack(found), torch.stack(wanted))
    assert len(list(read_poses(str(tiny_shards), most=5))) == 5
