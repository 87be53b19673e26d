"""The tables of the body: they agree with each other and with its two sides."""

from spt_dist import body
from spt_dist.body import FLIP_JOINTS, FLIP_LABELS, LABEL_COLOURS, MASK_LIMBS, PART_INDEX, WARP_PARTS, Joint, Label

SIDES = {"R_": "L_", "L_": "R_"}


def test_flips_are_involutions_that_swap_the_sides():
    for flip, table in ((FLIP_JOINTS, Joint), (FLIP_LABELS, Label)):
        assert [flip[flip[member]] for member in table] == list(table)
        for member in table:
            side = member.name[:2]
            assert flip[member].name == SIDES.get(side, side) + member.name[2:]
    assert sum(FLIP_JOINTS[joint] != joint for joint in Joint) == 16
    assert sum(FLIP_LABELS[label] != label for label in Label) == 4


def test_joints_and_labels_are_in_the_published_order():
    assert [int(joint) for joint in Joint] == list(range(18))
    assert [int(label) for label in Label] == list(range(10))
    assert list(Joint)[-4:] == [Joint.L_EYE, Joint.R_EYE, Joint.L_EAR, Joint.R_EAR]
    assert body.MISSING == (-1, -1, 0)


def test_groups_of_labels_and_joints():
    assert set(Label) - set(body.FOREGROUND_LABELS) == {Label.BACKGROUND}
    assert set(body.FOREGROUND_LABELS) - set(body.STYLE_LABELS) == {Label.FACE}
    assert set(body.CLOTHING_LABELS) < set(body.STYLE_LABELS)
    for group in (body.HEAD_JOINTS, body.TORSO_JOINTS):
        assert len(set(group)) == len(group)
        assert {FLIP_JOINTS[joint] for joint in group} == set(group)


def test_warp_parts_mirror_each_other():
    assert [PART_INDEX[part.name] for part in WARP_PARTS] == list(range(10))
    limbs = [part for part in WARP_PARTS if part.mirror]
    assert [part.name for part in WARP_PARTS if not part.mirror] == ["body", "head"]
    for part in limbs:
        mirror = WARP_PARTS[PART_INDEX[part.mirror]]
        assert mirror.mirror == part.name
        assert (FLIP_JOINTS[part.upper], FLIP_JOINTS[part.lower]) == (mirror.upper, mirror.lower)
        assert part[3:5] == mirror[3:5]
        assert part.name.startswith("right") == part.upper.name.startswith("R_")


def test_mask_limbs_are_23_and_alike_on_both_sides():
    limbs = {frozenset(limb) for limb in MASK_LIMBS}
    assert len(limbs) == len(MASK_LIMBS) == 23
    assert all(len(limb) == 2 for limb in limbs)
    assert {frozenset(FLIP_JOINTS[joint] for joint in limb) for limb in limbs} == limbs
    assert frozenset().union(*limbs) == set(Joint)


def test_every_label_has_a_colour_of_its_own():
    assert len(LABEL_COLOURS) == len(set(LABEL_COLOURS)) == len(Label)
    assert all(len(colour) == 3 and 0 <= min(colour) <= max(colour) <= 255 for colour in LABEL_COLOURS)
