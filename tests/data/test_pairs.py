import dataclasses
import itertools

import numpy as np
import pytest
import torch

from spt_dist.body import MISSING, Joint, Label
from spt_dist.data.importers import read_folder
from spt_dist.data.pairs import PseudoPairs, distances, normalised, signatures
from spt_dist.data.schema import DataError, Sample, collate, flip_joints, flip_labels

# A person of torso length 10 px, standing at x = 20 with the neck at y = 10: right is left in the picture.
STANDING = {
    Joint.NOSE: (20, 6), Joint.NECK: (20, 10), Joint.R_SHOULDER: (17, 10), Joint.L_SHOULDER: (23, 10),
    Joint.R_HIP: (17, 20), Joint.L_HIP: (23, 20), Joint.R_ANKLE: (17, 36), Joint.L_ANKLE: (23, 36),
    Joint.R_WRIST: (15, 20), Joint.L_WRIST: (25, 20),
}  # fmt: skip


def dressed(name: str, moved: dict[Joint, tuple[int, int]], garment: Label, arms: int = 2) -> Sample:
    """A person of 40x40 px: an upper part, a lower garment, arms of `arms` rows, and joints."""
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 15:25] = Label.UPPER
    labels[20:30, 15:25] = garment
    labels[10 : 10 + arms, 5:10] = Label.R_ARM
    joints = np.full((18, 3), MISSING, np.float32)
    for joint, xy in (STANDING | moved).items():
        joints[joint] = (*xy, 1)
    return Sample(name, np.zeros((40, 40, 3), np.uint8), labels, joints)


def arm_up(x: int, y: int) -> dict[Joint, tuple[int, int]]:
    return {Joint.R_WRIST: (x, y)}


def match(pairs: PseudoPairs, source: Sample, wanted: Sample):
    labels, joints = pairs.match(collate([source]), collate([wanted]).joints)
    return labels[0].numpy(), joints[0].numpy()


SOURCE = dressed("source", {}, Label.PANTS)
UP = dressed("up", arm_up(12, 0), Label.PANTS)
SIDE = dressed("side", arm_up(3, 11), Label.PANTS)
SKIRT = dressed("skirt", arm_up(3, 10), Label.SKIRT)


def test_takes_the_nearest_pose_among_the_same_clothes():
    pairs = PseudoPairs([SOURCE, UP, SIDE, SKIRT])
    wanted = dressed("wanted", arm_up(3, 10), Label.SKIRT)  # SKIRT's very pose
    labels, joints = match(pairs, SOURCE, wanted)
    np.testing.assert_array_equal(joints, SIDE.joints)
    np.testing.assert_array_equal(labels, SIDE.labels)


def test_size_and_place_in_the_picture_do_not_count():
    pairs = PseudoPairs([SOURCE, UP, SIDE])
    small = SIDE.joints.copy()
    small[small[:, 2] > 0, :2] = small[small[:, 2] > 0, :2] / 2 + 13
    _, joints = match(pairs, SOURCE, dataclasses.replace(SIDE, joints=small))
    np.testing.assert_array_equal(joints, SIDE.joints)


def test_mirror_images_are_candidates():
    """The other arm is wanted up: only a mirrored sample has that, sides renamed."""
    pairs = PseudoPairs([SOURCE, UP, SIDE])
    mirrored = dataclasses.replace(UP, joints=flip_joints(collate([UP]).joints, 40)[0].numpy())
    labels, joints = match(pairs, SOURCE, mirrored)
    np.testing.assert_array_equal(joints, mirrored.joints)
    np.testing.assert_array_equal(labels, flip_labels(collate([UP]).labels)[0].numpy())
    assert (labels == Label.L_ARM).sum() == (UP.labels == Label.R_ARM).sum()


def test_sleeves_of_the_same_length_are_preferred():
    bare = dressed("bare", arm_up(12, 1), Label.PANTS, arms=9)
    pairs = PseudoPairs([SOURCE, bare, UP])
    labels, _ = match(pairs, SOURCE, dressed("wanted", arm_up(12, 1), Label.PANTS))
    np.testing.assert_array_equal(labels, UP.labels)
    labels, _ = match(pairs, dressed("other", {}, Label.PANTS, arms=9), UP)
    np.testing.assert_array_equal(labels, bare.labels)


def test_fallbacks_in_their_order():
    twin = dressed("twin", arm_up(14, 20), Label.PANTS)  # nearly the source's pose
    _, joints = match(PseudoPairs([SOURCE, twin, SKIRT]), SOURCE, UP)
    np.testing.assert_array_equal(joints, twin.joints)  # another pose is given up before other clothes
    _, joints = match(PseudoPairs([SOURCE, SKIRT]), SOURCE, UP)
    np.testing.assert_array_equal(joints, SKIRT.joints)  # but never the source itself
    with pytest.raises(DataError, match="at least 2"):
        PseudoPairs([SOURCE])


def test_missing_joints_count_as_what_they_are():
    """Distances over shared joints only; hand-computed, and finite without any torso or any joint."""
    one = collate([SOURCE]).joints
    moved = one.clone()
    moved[0, Joint.NOSE, 0] += 5  # half a torso length on one of 10 joints
    lost = one.clone()
    lost[0, Joint.NOSE] = torch.tensor(MISSING)
    nothing = torch.tensor(MISSING).expand(1, 18, 3)
    headless = nothing.clone()
    headless[0, Joint.NOSE] = one[0, Joint.NOSE]
    poses = normalised(torch.cat((one, moved, lost, nothing, headless)))
    found = distances(normalised(one), poses)[0]
    torch.testing.assert_close(found[:4], torch.tensor([0.0, 0.25 / 10, 0.5 / 18, 5 / 18]), atol=1e-6, rtol=1e-5)
    assert found.isfinite().all()
    labels, _ = PseudoPairs([SOURCE, UP]).match(collate([SOURCE]), nothing)
    assert torch.equal(labels[0], torch.from_numpy(UP.labels))


def test_clothes_as_bits():
    labels = collate([SOURCE, SKIRT]).labels
    assert signatures(labels).tolist() == [0b011, 0b101]
    speck = labels[:1].clone()
    speck[0, 0, 0] = Label.SKIRT
    assert signatures(speck).tolist() == [0b011]
    assert signatures(torch.zeros_like(speck)).tolist() == [0]


def test_a_batch_is_its_samples_one_by_one():
    pairs = PseudoPairs([SOURCE, UP, SIDE, SKIRT])
    batch, wanted = collate([SOURCE, UP, SKIRT]), collate([SIDE, SKIRT, UP]).joints
    labels, joints = pairs.match(batch, wanted)
    for slot, (source, target) in enumerate([(SOURCE, SIDE), (UP, SKIRT), (SKIRT, UP)]):
        one = match(pairs, source, target)
        np.testing.assert_array_equal(labels[slot].numpy(), one[0])
        np.testing.assert_array_equal(joints[slot].numpy(), one[1])


def test_real_photos_find_others_dressed_alike(data):
    samples = list(itertools.islice(read_folder(data / "ccp256", "val"), 40))
    pairs = PseudoPairs(samples)
    source, wanted = collate(samples[:12]), collate(samples[12:24]).joints
    labels, joints = pairs.match(source, wanted)
    alike = signatures(labels) == signatures(source.labels)
    assert alike.float().mean() > 0.8  # a few wear what nobody else does
    assert not any(torch.equal(own, found) for own, found in zip(source.labels, labels, strict=True))
    poses, target = normalised(joints), normalised(wanted)
    everyone = distances(target, normalised(collate(samples).joints))
    assert distances(target, poses).diag().mean() < 0.8 * everyone.mean()
