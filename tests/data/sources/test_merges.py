"""Label tables against spelled lists, and the geometry of classes without a side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_dist.body import FLIP_LABELS, MISSING, Joint, Label
from spt_dist.data.schema import DataError
from spt_dist.data.sources.merges import ARMS, LEGS, MERGES, SKIN, merge

LIP = (
    "background hat hair glove sunglasses upper-clothes dress coat socks pants jumpsuits scarf skirt face left-arm "
    "right-arm left-leg right-leg left-shoe right-shoe"
)
SPELLED = {
    "spt": "background face hair upper pants skirt l_arm r_arm l_leg r_leg",
    "lip-20": LIP,
    "cihp-20": LIP.replace("jumpsuits", "torso-skin"),
    "atr-18": (
        "background hat hair sunglasses upper-clothes skirt pants dress belt left-shoe right-shoe face left-leg "
        "right-leg left-arm right-arm bag scarf"
    ),
    "ccp-59": (
        "null accessories bag belt blazer blouse bodysuit boots bra bracelet cape cardigan clogs coat dress earrings "
        "flats glasses gloves hair hat heels hoodie intimate jacket jeans jumper leggings loafers necklace panties "
        "pants pumps purse ring romper sandals scarf shirt shoes shorts skin skirt sneakers socks stockings suit "
        "sunglasses sweater sweatshirt swimwear t-shirt tie tights top vest wallet watch wedges"
    ),
}
MERGED = {  # our labels by class number; None: by geometry
    "spt": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    "lip-20": (0, 2, 2, None, 1, 3, 3, 3, None, 4, 3, 3, 5, 1, 6, 7, 8, 9, 8, 9),
    "cihp-20": (0, 2, 2, None, 1, 3, 3, 3, None, 4, 1, 3, 5, 1, 6, 7, 8, 9, 8, 9),
    "atr-18": (0, 2, 2, 1, 3, 5, 4, 3, 3, 8, 9, 1, 8, 9, 6, 7, 0, 3),
}


@pytest.mark.parametrize("parser", SPELLED)
def test_classes_are_in_the_parsers_order(parser):
    assert list(MERGES[parser].classes) == SPELLED[parser].split()
    assert MERGES[parser].version == 1


@pytest.mark.parametrize("parser", MERGED)
def test_each_class_becomes_its_label(parser):
    wanted = MERGED[parser]
    found = np.arange(len(wanted))[None]
    merged = merge(found, parser)
    for number, label in enumerate(wanted):
        if label is not None:
            assert merged[0, number] == label, list(MERGES[parser].classes)[number]


def test_ccp_lists_its_59_classes_as_published(data):
    from scipy.io import loadmat

    names = [str(cell[0]) for cell in loadmat(data / "ccp_raw" / "label_list.mat")["label_list"].ravel()]
    assert list(MERGES["ccp-59"].classes) == names


@pytest.mark.parametrize("parser", SPELLED)
def test_left_and_right_classes_are_each_others_mirror(parser):
    classes = MERGES[parser].classes
    for name, labels in classes.items():
        for this, other in (("left-", "right-"), ("l_", "r_")):
            if name.startswith(this):
                assert classes[other + name.removeprefix(this)] == tuple(FLIP_LABELS[label] for label in labels)


def joints_at(**places: tuple[float, float]) -> np.ndarray:
    joints = np.full((18, 3), MISSING, np.float32)
    for name, (x, y) in places.items():
        joints[Joint[name]] = (x, y, 1)
    return joints


BODY = joints_at(
    NOSE=(20, 4), NECK=(20, 10), R_SHOULDER=(14, 12), L_SHOULDER=(26, 12), R_ELBOW=(8, 20), L_ELBOW=(32, 20),
    R_WRIST=(4, 28), L_WRIST=(36, 28), R_HIP=(17, 30), L_HIP=(23, 30), R_KNEE=(16, 42), L_KNEE=(24, 42),
    R_ANKLE=(16, 56), L_ANKLE=(24, 56),
)  # fmt: skip


def test_skin_goes_to_the_nearest_bone():
    ccp = list(MERGES["ccp-59"].classes)
    found = np.zeros((64, 40), np.int64)
    spots = {
        (3, 21): Label.FACE,
        (24, 6): Label.R_ARM,
        (24, 34): Label.L_ARM,
        (50, 15): Label.R_LEG,
        (50, 25): Label.L_LEG,
    }
    for y, x in spots:
        found[y, x] = ccp.index("skin")
    found[60, 24], found[60, 16], found[30, 2] = ccp.index("boots"), ccp.index("heels"), ccp.index("watch")
    merged = merge(found, "ccp-59", BODY)
    assert {spot: merged[spot] for spot in spots} == spots
    assert (merged[60, 24], merged[60, 16], merged[30, 2]) == (Label.L_LEG, Label.R_LEG, Label.R_ARM)
    assert np.count_nonzero(merged) == 8


def test_socks_and_gloves_follow_the_labelled_limbs_without_joints():
    lip = list(MERGES["lip-20"].classes)
    found = np.zeros((20, 20), np.int64)
    found[5:10, 4], found[5:10, 15] = lip.index("right-leg"), lip.index("left-leg")
    found[12, 5], found[12, 14], found[2, 3] = (lip.index(name) for name in ("socks", "socks", "glove"))
    merged = merge(found, "lip-20")
    assert (merged[12, 5], merged[12, 14]) == (Label.R_LEG, Label.L_LEG)
    assert merged[2, 3] == Label.BACKGROUND  # no arm to be seen, neither pixels nor joints
    assert merge(found, "lip-20", BODY)[2, 3] == Label.R_ARM


@pytest.mark.parametrize("value", [-1, 20, 255])
def test_a_class_that_the_parser_has_not_names_the_option(value):
    with pytest.raises(DataError, match=rf"label {value} is none of lip-20's 0..19; .*--labels"):
        merge(np.full((2, 2), value), "lip-20")


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(MERGES)), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_every_map_becomes_one_of_ours(parser, height, width, seed):
    """Whatever the map and the joints: certain classes by the table, others one of their candidates or background."""
    rng = np.random.default_rng(seed)
    classes = list(MERGES[parser].classes.values())
    found = rng.integers(0, len(classes), (height, width))
    joints = np.full((18, 3), MISSING, np.float32)
    seen = rng.random(18) < 0.5
    joints[seen] = np.column_stack((rng.uniform(0, width, 18), rng.uniform(0, height, 18), np.ones(18)))[seen]
    merged = merge(found, parser, joints if rng.random() < 0.8 else None)
    assert merged.dtype == np.uint8
    for value, label in zip(found.ravel(), merged.ravel(), strict=True):
        candidates = classes[value]
        assert label in candidates or (len(candidates) > 1 and label == Label.BACKGROUND)


def test_the_candidates_are_limbs_and_skin():
    several = {labels for table in MERGES.values() for labels in table.classes.values() if len(labels) > 1}
    assert several == {ARMS, LEGS, SKIN}
