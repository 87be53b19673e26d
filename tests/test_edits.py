"""Named edits of parsing maps: each by its counts of labels, and refused where there is nothing to edit."""

import cv2
import numpy as np
import pytest

from spt_dist.body import FLIP_JOINTS, FLIP_LABELS, Joint, Label
from spt_dist.edits import ARMS, EDITS, LEGS, edit_labels

SIZE = (128, 96)
PLACES = {
    "NOSE": (48, 18), "NECK": (48, 32), "R_SHOULDER": (34, 34), "L_SHOULDER": (62, 34), "R_ELBOW": (26, 52),
    "L_ELBOW": (70, 52), "R_WRIST": (22, 66), "L_WRIST": (74, 66), "R_HIP": (40, 70), "L_HIP": (56, 70),
    "R_KNEE": (38, 94), "L_KNEE": (58, 94), "R_ANKLE": (38, 116), "L_ANKLE": (58, 116), "R_EYE": (45, 16),
    "L_EYE": (51, 16), "R_EAR": (42, 18), "L_EAR": (54, 18),
}  # fmt: skip
JOINTS = np.array([(*PLACES[joint.name], 1) for joint in Joint], np.float32)


def figure(upper_to: int = 72, lower: Label | None = Label.PANTS, lower_to: int = 114, sleeves: float = 0.0):
    """A standing person's map: hair, face, limbs, an upper garment and a lower one down to the given rows.

    `sleeves` is 0 for none, 1 to the elbow, 2 to the wrist.
    """
    labels = np.zeros(SIZE, np.uint8)

    def bone(a: Joint, b: Joint, label: Label, share: float = 1.0, width: int = 8) -> None:
        end = JOINTS[a, :2] + share * (JOINTS[b, :2] - JOINTS[a, :2])
        cv2.line(labels, JOINTS[a, :2].astype(int).tolist(), end.astype(int).tolist(), int(label), width)

    for limb in LEGS:
        bone(limb.upper, limb.middle, limb.label)
        bone(limb.middle, limb.lower, limb.label, 1.2)
    if lower is not None:
        labels[70:lower_to, 34:63] = lower
        if lower is Label.PANTS:
            labels[80:lower_to, 46:50] = Label.BACKGROUND
    labels[32:upper_to, 36:61] = Label.UPPER
    for limb in ARMS:
        bone(limb.upper, limb.middle, limb.label)
        bone(limb.middle, limb.lower, limb.label, 1.25)
        if sleeves:
            bone(limb.upper, limb.middle, Label.UPPER, min(sleeves, 1))
        if sleeves > 1:
            bone(limb.middle, limb.lower, Label.UPPER, sleeves - 1)
    labels[8:30, 40:57] = Label.FACE
    labels[6:14, 39:58] = Label.HAIR
    return labels


def count(labels: np.ndarray, *chosen: Label) -> int:
    return int(np.isin(labels, chosen).sum())


ARM, LEG = (Label.L_ARM, Label.R_ARM), (Label.L_LEG, Label.R_LEG)
BEFORE = {
    "long-sleeves": figure(),
    "short-sleeves": figure(sleeves=1.9),
    "dress-to-pants": figure(upper_to=100, lower=None),
    "skirt-to-pants": figure(lower=Label.SKIRT, lower_to=92),
    "shorts-to-pants": figure(lower_to=88),
    "pants-to-shorts": figure(),
    "pants-to-skirt": figure(),
    "shorter-hair": figure(),
    "longer-hair": figure(),
}
BEFORE["shorter-hair"][14:50, 38:42] = BEFORE["shorter-hair"][14:50, 55:59] = Label.HAIR
# What grows and what shrinks, each by at least so large a share of its own pixels; then what becomes of a label in all.
GROWS = {
    "long-sleeves": ((Label.UPPER,), ARM), "short-sleeves": (ARM, (Label.UPPER,)),
    "dress-to-pants": ((Label.PANTS,), (Label.UPPER,)), "skirt-to-pants": ((Label.PANTS,), (Label.SKIRT,)),
    "shorts-to-pants": ((Label.PANTS,), LEG), "pants-to-shorts": (LEG, (Label.PANTS,)),
    "pants-to-skirt": ((Label.SKIRT,), (Label.PANTS,)), "shorter-hair": ((Label.UPPER,), (Label.HAIR,)),
    "longer-hair": ((Label.HAIR,), (Label.UPPER,)),
}  # fmt: skip
GONE = {"skirt-to-pants": Label.SKIRT, "pants-to-skirt": Label.PANTS}
MAY_CHANGE = {
    "long-sleeves": (*ARM, Label.UPPER), "short-sleeves": (*ARM, Label.UPPER),
    "dress-to-pants": (Label.BACKGROUND, Label.UPPER, Label.PANTS, *LEG),
    "skirt-to-pants": (Label.BACKGROUND, Label.SKIRT, Label.PANTS, *LEG),
    "shorts-to-pants": (Label.BACKGROUND, Label.PANTS, *LEG),
    "pants-to-shorts": (Label.BACKGROUND, Label.PANTS, *LEG),
    "pants-to-skirt": (Label.BACKGROUND, Label.SKIRT, Label.PANTS, *LEG),
    "shorter-hair": (Label.BACKGROUND, Label.HAIR, Label.UPPER, Label.FACE),
    "longer-hair": (Label.BACKGROUND, Label.HAIR, Label.UPPER),
}  # fmt: skip


def test_every_edit_is_tested():
    assert BEFORE.keys() == GROWS.keys() == MAY_CHANGE.keys() == EDITS.keys()


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_moves_pixels_from_what_shrinks_to_what_grows(name):
    before, kept = BEFORE[name], BEFORE[name].copy()
    after = edit_labels(name, before, JOINTS)
    grows, shrinks = GROWS[name]
    assert count(after, *grows) > 1.1 * count(before, *grows)
    assert count(after, *shrinks) < 0.95 * count(before, *shrinks)
    changed = after != before
    assert set(np.unique(before[changed])) | set(np.unique(after[changed])) <= set(MAY_CHANGE[name])
    assert changed.mean() < 0.2
    if name in GONE:
        assert count(after, GONE[name]) == 0
    np.testing.assert_array_equal(before, kept)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_mirrored_person_is_the_mirrored_edit(name):
    labels = np.asarray(FLIP_LABELS, np.uint8)[BEFORE[name][:, ::-1]]
    joints = JOINTS[list(FLIP_JOINTS)] * (-1, 1, 1) + (SIZE[1] - 1, 0, 0)
    mirrored = np.asarray(FLIP_LABELS, np.uint8)[edit_labels(name, labels, joints)[:, ::-1]]
    assert (mirrored != edit_labels(name, BEFORE[name], JOINTS)).mean() < 0.005  # ties and rounding


def test_hands_and_feet_stay_bare():
    sleeved = edit_labels("long-sleeves", BEFORE["long-sleeves"], JOINTS)
    assert sleeved[68, 22] == Label.R_ARM
    assert sleeved[58, 25] == sleeved[46, 29] == Label.UPPER
    trousers = edit_labels("dress-to-pants", BEFORE["dress-to-pants"], JOINTS)
    assert trousers[119, 38] == Label.R_LEG
    assert trousers[119, 58] == Label.L_LEG
    assert trousers[105, 38] == trousers[80, 57] == Label.PANTS
    assert trousers[105, 48] == Label.BACKGROUND  # between the legs
    assert trousers[50, 48] == Label.UPPER


@pytest.mark.parametrize(
    ("name", "before", "missing", "said"),
    [
        ("bald", figure(), (), "`bald` is no edit; there are long-sleeves"),
        ("dress-to-pants", figure(), (), "`dress-to-pants` cannot be done: no upper garment reaches"),
        ("pants-to-skirt", figure(lower=None), (), "cannot be done: the map has no pants"),
        ("long-sleeves", figure(sleeves=2), (), "`long-sleeves` changes nothing here"),
        ("pants-to-shorts", figure(), (Joint.L_ANKLE, Joint.R_KNEE), "no leg has hip, knee and ankle in view"),
        ("longer-hair", figure(), (Joint.NECK,), "neck is in view"),
        ("skirt-to-pants", BEFORE["skirt-to-pants"], (Joint.R_HIP, Joint.L_HIP), "neither r_hip nor l_hip is in view"),
    ],
)
def test_what_cannot_be_edited_is_said_in_one_line(name, before, missing, said):
    joints = JOINTS.copy()
    joints[list(missing)] = (-1, -1, 0)
    with pytest.raises(ValueError, match=said) as error:
        edit_labels(name, before, joints)
    assert "\n" not in str(error.value)
