"""Our own annotator, exact on a network whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from spt_dist.annotate.annotation import Annotator
from spt_dist.annotate.own import OwnAnnotator, mirror
from spt_dist.body import FLIP_JOINTS, FLIP_LABELS, Joint, Label
from spt_dist.data.schema import DataError, flip_joints, flip_labels
from spt_dist.models.inputs import to_bytes

SIZE = (96, 64)


class Painted(nn.Module):
    """Reads what is painted: a pixel's blue is its label; where red is full, green is the joint that is there.

    Elsewhere red grows to the right, so that it knows a mirrored picture, and calls its limbs what they are there.
    """

    def forward(self, image):
        red, green, blue = to_bytes(image).permute(3, 0, 1, 2).float()
        labels = torch.stack([-(blue - 25 * label).abs() for label in Label], 1)
        places = torch.stack([30 - 5 * (green - 40 - 12 * joint).abs() - 6 * (250 - red) for joint in Joint], 1)
        maps = torch.cat([labels, places], 1)
        edges = red.median(1).values
        turned = (edges[:, -1] < edges[:, 0])[:, None, None, None]
        return torch.where(turned, maps[:, [*FLIP_LABELS, *(len(Label) + joint for joint in FLIP_JOINTS)]], maps)


def painted(size, person, missing=()):
    """A photo, its joints and its map: stripes of labels in the box `person`, a small square at each joint."""
    top, left, height, width = person
    image, labels = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    image[..., 0] = np.linspace(0, 100, size[1]).astype(np.uint8)
    for label in range(1, 10):
        stripe = slice(top + (label - 1) * height // 9, top + label * height // 9), slice(left, left + width)
        labels[stripe] = label
        image[(*stripe, 2)] = 25 * label
    joints, side = np.full((18, 3), (-1, -1, 0), np.float32), height // 44
    for joint in set(Joint) - set(missing):
        y = top + round((joint // 3 + 0.5) * height / 6)
        x = left + round((joint % 3 + 0.5) * width / 3)
        image[y - side : y + side + 1, x - side : x + side + 1, :2] = 250, 40 + 12 * joint
        joints[joint] = x, y, 1
    return image, joints, labels


@pytest.mark.parametrize(
    ("size", "person"),
    [
        ((481, 321), (50, 60, 380, 200)),  # portrait
        ((300, 701), (60, 420, 200, 110)),  # landscape, the person at one side
        ((257, 255), (1, 0, 255, 130)),  # at the edge on three sides
        ((1400, 900), (500, 300, 420, 260)),  # large, the person far
    ],
)
@pytest.mark.parametrize("missing", [(), (Joint.R_WRIST, Joint.L_ANKLE)])
def test_what_is_painted_is_found_in_the_photos_own_px(size, person, missing):
    image, joints, labels = painted(size, person, missing)
    annotator = OwnAnnotator(Painted(), SIZE, "0" * 64)
    found = annotator.annotate(image)
    assert (found.joints[:, 2] == joints[:, 2]).all()
    seen = joints[:, 2] > 0
    px = person[2] / 60  # about a pixel of the second look
    assert np.abs(found.joints[seen, :2] - joints[seen, :2]).max() <= 0.35 * px
    assert (found.confidence[seen] > 0.8).all()
    assert (found.confidence[~seen] < 0.3).all()
    assert found.labels.shape == size
    assert (found.labels != labels).mean() < 0.08 * (labels > 0).mean()  # seams of a few px between stripes
    box_px = np.array([person[1], person[0], person[1] + person[3] - 1, person[0] + person[2] - 1])
    assert np.abs(np.array(found.box) - box_px).max() <= 1.5 * px


def test_a_photo_without_anybody_is_refused_with_the_reason():
    annotator = OwnAnnotator(Painted(), SIZE, "0" * 64)
    with pytest.raises(DataError, match=r"no person found in the photo: 0 of 18 joints were seen, and 0 px"):
        annotator.annotate(np.zeros((200, 100, 3), np.uint8))
    image, _, _ = painted((300, 200), (50, 50, 200, 100), missing=list(Joint)[3:])
    with pytest.raises(DataError, match=r"3 of 18 joints were seen, 4 make a person"):
        annotator.annotate(image)


def test_islands_without_a_joint_are_left_out():
    image, _, labels = painted((300, 220), (50, 40, 220, 120))
    image[60:70, 190:200, 2] = 75
    found = OwnAnnotator(Painted(), SIZE, "0" * 64).annotate(image)
    assert not found.labels[55:75, 180:].any()
    assert (found.labels[labels > 0] > 0).mean() > 0.97


def test_mirrored_maps_say_what_the_mirrored_person_does():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 28, 12, 8, generator=generator)
    assert torch.equal(mirror(mirror(maps)), maps)
    labels = maps[:, :10].argmax(1).to(torch.uint8)
    assert torch.equal(mirror(maps)[:, :10].argmax(1).to(torch.uint8), flip_labels(labels))
    peaks = maps[:, 10:].flatten(2).argmax(2)
    joints = torch.stack([peaks % 8, peaks // 8, torch.ones_like(peaks)], -1).float()
    turned = mirror(maps)[:, 10:].flatten(2).argmax(2)
    assert torch.equal(
        torch.stack([turned % 8, turned // 8, torch.ones_like(turned)], -1).float(), flip_joints(joints, 8)
    )


def test_it_is_an_annotator_like_others():
    assert isinstance(OwnAnnotator(Painted(), SIZE, "0" * 64), Annotator)
