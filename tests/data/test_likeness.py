import cv2
import numpy as np
import pytest

from spt_dist.data import likeness as module
from spt_dist.data.likeness import ALIKE_BITS, bits_apart, likeness, near
from spt_dist.data.photos import read_photo
from spt_dist.data.synthetic import draw, sample_person, sample_pose

SAME_PHOTOS = {  # the pairs of `ccp256` that are one photo, found by looking
    ("ccp_0078", "ccp_0984"),
    ("ccp_0183", "ccp_0730"),
    ("ccp_0197", "ccp_0671"),
    ("ccp_0223", "ccp_0616"),
    ("ccp_0594", "ccp_0722"),
    ("ccp_0692", "ccp_0732"),
    ("ccp_0907", "ccp_0990"),
}


def drawn(seed, size=(128, 64)):
    rng = np.random.default_rng((seed, 3))
    return draw(sample_person(rng), sample_pose(rng), size).image


def recompressed(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def test_copies_are_near_and_others_are_not():
    pictures = [drawn(seed) for seed in range(12)]
    hashes = [likeness(picture) for picture in pictures]
    for picture, own in zip(pictures, hashes, strict=True):
        half = cv2.resize(picture, (32, 64), interpolation=cv2.INTER_AREA)
        large = cv2.resize(picture, (150, 301), interpolation=cv2.INTER_LINEAR)
        for copy in (recompressed(picture, 40), half, large, recompressed(large, 60)):
            assert bits_apart(likeness(copy), own) <= ALIKE_BITS
    assert min(bits_apart(one, other) for at, one in enumerate(hashes) for other in hashes[:at]) > ALIKE_BITS


def test_the_bits_are_the_same_everywhere():
    """Numbers that another machine must find too; ugly sizes, from one pixel on; a brightness more changes nothing."""
    rng = np.random.default_rng(7)
    picture = rng.integers(0, 200, (7, 5, 3)).astype(np.uint8)
    assert f"{likeness(picture):016x}" == "2b8c53465a737731"
    assert likeness(np.full((1, 1, 3), 9, np.uint8)) == 0
    assert likeness(picture + np.uint8(1)) == likeness(picture)
    assert likeness(np.repeat(np.repeat(picture, 3, 0), 4, 1)) == likeness(picture)  # enlarged without smoothing


@pytest.mark.parametrize(("distance", "together"), [(0, 1 << 22), (3, 7), (6, 1 << 22), (11, 100)])
def test_near_finds_what_all_pairs_find(monkeypatch, distance, together):
    monkeypatch.setattr(module, "AT_ONCE", together)
    rng = np.random.default_rng(distance)
    centres = rng.integers(0, 1 << 64, 8, np.uint64)
    flips = rng.integers(0, 64, (160, 5)).astype(np.uint64)
    hashes = np.repeat(centres, 20)
    for bit in flips.T:
        hashes = hashes ^ (np.uint64(1) << bit)
    wanted = [
        (at, after)
        for at in range(160)
        for after in range(at + 1, 160)
        if bits_apart(int(hashes[at]), int(hashes[after])) <= distance
    ]
    first = {int(value): at for at, value in reversed(list(enumerate(hashes)))}
    own = [first[int(value)] for value in hashes]
    wanted = [(at, after) for at, after in wanted if own[after] in (at, after) and own[at] == at]
    assert [tuple(pair) for pair in near(hashes, distance).tolist()] == wanted


def test_copies_make_as_many_pairs_as_copies():
    hashes = np.repeat(np.array([5, 1 << 40], np.uint64), 1000)
    pairs = near(hashes, 3)
    assert len(pairs) == 2 * 999 + 1
    assert (0, 1000) in set(map(tuple, pairs.tolist()))
    assert len(near(np.empty(0, np.uint64))) == 0


def test_the_same_photos_of_a_real_set_are_found_and_no_others(data):
    """Seven photos are in the set twice; nothing else is as near (nor among all 997: see the log in DESIGN.md)."""
    twice = {name for pair in SAME_PHOTOS for name in pair}
    others = {f"ccp_{number:04d}" for number in range(1, 998, 9)}
    names = sorted(twice | others)
    photos = [read_photo((data / "ccp256" / "img" / f"{name}.jpg").read_bytes(), name) for name in names]
    found = near(np.array([likeness(photo) for photo in photos], np.uint64))
    assert {(names[one], names[other]) for one, other in found} == SAME_PHOTOS
