"""Scores of annotations, by hand."""

import math

import pytest
import torch

from spt_dist.annotate.scoring import GROUPS, MIOU, hits, score
from spt_dist.body import MISSING, Joint, Label


def people():
    """Two of one pose, whose torsos are 100 px long."""
    joints = torch.zeros(2, len(Joint), 3)
    joints[..., 0] = torch.arange(len(Joint)) * 10.0
    joints[..., 2] = 1
    joints[:, [Joint.R_SHOULDER, Joint.L_SHOULDER], 1] = 100
    for side in ("R", "L"):
        hip, shoulder = Joint[f"{side}_HIP"], Joint[f"{side}_SHOULDER"]
        joints[:, hip, :2] = joints[:, shoulder, :2] + torch.tensor([0.0, 100.0])
    return joints


def test_every_joint_has_one_group():
    assert sorted(joint for joints in GROUPS.values() for joint in joints) == list(Joint)


def test_a_joint_is_right_within_the_share_of_the_torso():
    truth, found = people(), people()
    found[0, Joint.R_KNEE, 0] += 9.9
    found[0, Joint.L_KNEE, 0] += 10.1
    found[1, Joint.NOSE, 1] -= 19.9
    found[1, Joint.NECK, 1] -= 20.1
    right, wanted = hits(found, truth, 0.1)
    assert wanted.sum() == 36
    assert [(1 - right[0]).nonzero().flatten().tolist(), (1 - right[1]).nonzero().flatten().tolist()] == [
        [Joint.L_KNEE],
        [Joint.NOSE, Joint.NECK],
    ]
    right, _ = hits(found, truth, 0.2)
    assert (1 - right).nonzero().tolist() == [[1, Joint.NECK]]


def test_missing_joints_count_where_they_should():
    truth, found = people(), people()
    found[0, Joint.R_WRIST] = torch.tensor(MISSING)  # not found
    truth[1, [Joint.L_WRIST, Joint.L_EAR]] = torch.tensor(MISSING)
    found[1, Joint.L_EAR] = torch.tensor(MISSING)  # rightly; the wrist is invented
    labels = [torch.zeros(1, 2, 2, dtype=torch.uint8)] * 2
    scored = score(found, truth, labels, labels)
    assert scored.pck[0.1]["wrists"] == pytest.approx(2 / 3)
    assert scored.pck[0.1]["all"] == pytest.approx(33 / 34)
    assert scored.invented == 0.5
    assert scored.pictures == 2


def test_labels_are_counted_over_all_pictures_whatever_their_sizes():
    found = [torch.tensor([[[0, 1], [1, 1]]], dtype=torch.uint8), torch.tensor([[[1, 2, 0]]], dtype=torch.uint8)]
    truth = [torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8), torch.tensor([[[1, 1, 0]]], dtype=torch.uint8)]
    scored = score(people(), people(), found, truth)
    assert scored.iou[Label.BACKGROUND.name] == pytest.approx(2 / 3)
    assert scored.iou[Label.FACE.name] == pytest.approx(3 / 5)
    assert scored.iou[Label.HAIR.name] == 0
    assert math.isnan(scored.iou[Label.SKIRT.name])
    assert scored.in_short()[MIOU] == pytest.approx((2 / 3 + 3 / 5) / 3)
