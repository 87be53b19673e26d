import dataclasses
import json

import numpy as np
import pytest
import torch

from spt_dist.body import Joint, Label
from spt_dist.data.schema import (
    KEYS,
    NPY_HEADER_BYTES,
    DataError,
    collate,
    decode,
    encode,
    flip_joints,
    flip_labels,
    fold_labels,
    unfold_labels,
    validate,
)


def test_a_sample_survives_its_bytes(person):
    sample = dataclasses.replace(person("köln.7", 1), identity="anna")
    files = encode(sample)
    again = decode(files)
    assert tuple(files) == KEYS
    assert (again.id, again.identity, again.source, again.split) == ("köln.7", "anna", "hand-made", "train")
    np.testing.assert_array_equal(again.labels, sample.labels)
    np.testing.assert_array_equal(again.joints, sample.joints)
    assert np.abs(again.image.astype(int) - sample.image).mean() < 6
    assert json.loads(files["json"])["size"] == [24, 16]


def test_the_bytes_are_the_same_every_time(person):
    assert encode(person("a", 3)) == encode(person("a", 3))


def test_pose_is_raw_float32_behind_a_fixed_header(person):
    sample = person("a", 3)
    fortran = dataclasses.replace(sample, joints=np.asfortranarray(sample.joints))
    for one in (sample, fortran):
        raw = encode(one)["pose.npy"][NPY_HEADER_BYTES:]
        np.testing.assert_array_equal(np.frombuffer(raw, "<f4").reshape(18, 3), sample.joints)


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("jpg", b"", "a.jpg` is not an image"),
        ("jpg", b"\xff\xd8 no", "a.jpg` is not an image"),
        ("parsing.png", b"x", "a.parsing.png` is no whole PNG"),
        ("pose.npy", b"", "broken"),
        ("json", b"{", "broken"),
        ("json", b"{}", "broken"),
    ],
)
def test_broken_files_are_named(person, key, content, message):
    with pytest.raises(DataError, match=message):
        decode(encode(person("a", 0)) | {key: content})


def test_a_missing_file_is_named(person):
    files = encode(person("a", 0))
    del files["parsing.png"]
    with pytest.raises(DataError, match=r"no `parsing.png`"):
        decode(files)


def test_sizes_that_disagree_are_an_error(person):
    other = encode(person("b", 0, size=(12, 16)))
    with pytest.raises(DataError, match="disagree"):
        decode(encode(person("a", 0)) | {"parsing.png": other["parsing.png"]})


def test_validation_gives_reasons(person):
    good = person("a", 0, missing=2)
    validate(good, min_joints=16)
    with pytest.raises(DataError, match="16 of 18 joints"):
        validate(good, min_joints=17)
    cases = {
        "label 10": {"labels": np.full_like(good.labels, 10)},
        "all background": {"labels": np.zeros_like(good.labels)},
        "image is": {"image": good.image[1:]},
        "finite": {"joints": np.full_like(good.joints, np.nan)},
        "must be": {"joints": good.joints * np.float32([1, 1, 0])},
    }
    for message, change in cases.items():
        with pytest.raises(DataError, match=message):
            validate(dataclasses.replace(good, **change))


def test_flip_swaps_sides_by_name_and_twice_is_nothing(person):
    batch = collate([person("a", 0), person("b", 1), person("c", 2)])
    chosen = torch.tensor([True, False, True])
    flipped = batch.flip(chosen)
    assert torch.equal(flipped.images[0], batch.images[0].flip(1))
    assert torch.equal(flipped.images[1], batch.images[1])
    was, now = batch.labels[2].flip(1), flipped.labels[2]
    assert torch.equal(now == Label.R_LEG, was == Label.L_LEG)
    assert torch.equal(now == Label.UPPER, was == Label.UPPER)
    for before, after in zip(batch.joints[0], flip_joints(flipped.joints, 16)[0], strict=True):
        assert torch.equal(before, after)
    x, y, visible = batch.joints[0, Joint.L_EAR].tolist()
    expected = [15 - x, y, 1] if visible else [-1, -1, 0]
    assert flipped.joints[0, Joint.R_EAR].tolist() == expected
    for again, first in zip(flipped.flip(chosen)[1:], batch[1:], strict=True):
        assert torch.equal(again, first)
    assert torch.equal(flip_labels(flip_labels(batch.labels)), batch.labels)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (24, 16)])
def test_what_opencv_flips_is_what_torch_flips(person, size):
    batch = collate([person(str(seed), seed, size=size) for seed in range(3)])
    chosen = torch.tensor([True, False, True])
    flipped = batch.flip(chosen)
    assert torch.equal(flipped.images, torch.where(chosen[:, None, None, None], batch.images.flip(2), batch.images))
    assert torch.equal(flipped.labels, torch.where(chosen[:, None, None], flip_labels(batch.labels), batch.labels))
    assert torch.equal(
        flipped.joints, torch.where(chosen[:, None, None], flip_joints(batch.joints, size[1]), batch.joints)
    )
    assert flipped.images.data_ptr() != batch.images.data_ptr()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 8, 6)])
def test_two_labels_a_byte_come_back_as_they_were(shape):
    labels = torch.randint(0, len(Label), shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    folded = fold_labels(labels)
    assert folded.numel() == -(-labels.numel() // 2)
    assert torch.equal(unfold_labels(folded, labels.shape), labels)


def test_claims_of_a_header_cost_neither_time_nor_memory(person):
    """A PNG chunk of 4 GB, and pictures of 65,535 px: refused before a decoder believes them."""
    good = encode(person("a", 0))
    png, jpg = bytearray(good["parsing.png"]), bytearray(good["jpg"])
    png[33] = 255
    at = jpg.index(b"\xff\xc0") + 5
    jpg[at : at + 4] = b"\xff" * 4
    with pytest.raises(DataError, match=r"a.parsing.png` is no whole PNG"):
        decode(good | {"parsing.png": bytes(png)})
    with pytest.raises(DataError, match=r"image \(65535, 65535\), labels .* disagree"):
        decode(good | {"jpg": bytes(jpg)})
