"""Texture transfer, edits and many poses of one person: what must change does, what must not does not."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from spt_dist import applications, bench_poses
from spt_dist.applications import collage, grow, parse_labels, paste, swap_garments, with_rim, worn
from spt_dist.body import CLOTHING_LABELS, Label
from spt_dist.infer import Predictor
from spt_dist.joints import Keypoints, interpolate
from spt_dist.models.appearance import Source
from spt_dist.models.semantic import SourceMaps
from spt_dist.person import Person
from spt_dist.regions import paint, region_colours

SIZE = (32, 16)


@pytest.fixture
def predictor(tiny_run) -> Predictor:
    return Predictor.load(tiny_run / "weights")


@pytest.fixture
def exact(predictor) -> Predictor:
    """A predictor whose networks do exactly what they should: carry the map over, paint each region in its colour."""
    predictor.semantic, predictor.appearance = CarryOver(), FlatPainter()
    return predictor


class CarryOver(nn.Module):
    def encode_source(self, maps):
        return SourceMaps([], maps[:, : len(Label)])

    def decode(self, source, heatmaps, warps):
        return 20 * source.parsing


class FlatPainter(nn.Module):
    def encode_source(self, image, parsing, heatmaps):
        return Source([], None, region_colours(image, parsing))

    def decode(self, source, parsing, heatmaps, warps):
        return paint(source.colours, parsing)


def person(colours: dict[Label, int], lower: Label = Label.PANTS) -> Person:
    """A standing figure of rectangles on a grey ground, each region in its own colour, textured a little."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:6, 6:10], labels[1:3, 6:10] = Label.FACE, Label.HAIR
    labels[6:16, 4:12] = Label.UPPER
    labels[16:28, 5:8] = labels[16:28, 9:12] = lower
    if lower is Label.SKIRT:
        labels[16:22, 4:13], labels[22:28, 5:8], labels[22:28, 9:12] = lower, Label.R_LEG, Label.L_LEG
    labels[28, 5:8], labels[28, 9:12] = Label.R_LEG, Label.L_LEG
    table = np.array([colours.get(label, 20 + 10 * label) for label in Label], np.uint8)
    image = np.stack([table[labels], 255 - table[labels], np.full(SIZE, 90, np.uint8)], -1)
    image[::2] += 4
    joints = np.column_stack([np.linspace(5, 11, 18), np.linspace(2, 29, 18), np.ones(18)]).astype(np.float32)
    return Person(image, labels, joints)


RED, BLUE = person({Label.UPPER: 200, Label.PANTS: 150}), person({Label.UPPER: 40, Label.PANTS: 10})


def test_clothes_change_hands_both_ways_and_nothing_else_does(exact):
    for wearer, giver in ((RED, BLUE), (BLUE, RED)):
        drawn = exact.transfer(wearer, giver, {Label.UPPER})
        region = wearer.labels == Label.UPPER
        np.testing.assert_array_equal(drawn.labels, wearer.labels)
        beyond = ~with_rim(region, wearer.labels)
        np.testing.assert_array_equal(drawn.image[beyond], wearer.image[beyond])
        inner = cv2.erode(region.astype(np.uint8), np.ones((3, 3))).astype(bool)
        wanted = giver.image[giver.labels == Label.UPPER].mean(0)
        np.testing.assert_allclose(drawn.image[inner].mean(0), wanted, atol=3)
        np.testing.assert_allclose(drawn.image[region].mean(0), wanted, atol=25)  # with the soft edge


def test_several_labels_at_once(exact):
    drawn = exact.transfer(RED, BLUE, CLOTHING_LABELS)
    for label in (Label.UPPER, Label.PANTS):
        inner = cv2.erode((RED.labels == label).astype(np.uint8), np.ones((3, 3))).astype(bool)
        np.testing.assert_allclose(drawn.image[inner].mean(0), BLUE.image[BLUE.labels == label].mean(0), atol=4)


def test_another_kind_of_garment_brings_its_shape(exact):
    skirt = person({Label.SKIRT: 60}, Label.SKIRT)
    drawn = exact.transfer(RED, skirt)
    assert (drawn.labels == Label.SKIRT).sum() > 0.9 * (skirt.labels == Label.SKIRT).sum()
    assert (drawn.labels != Label.PANTS).all()
    assert set(np.unique(drawn.labels[22:28, 5:8])) == {Label.R_LEG}  # what the trousers uncovered
    for kept in (Label.FACE, Label.HAIR):
        np.testing.assert_array_equal(drawn.labels == kept, RED.labels == kept)
        np.testing.assert_array_equal(drawn.image[RED.labels == kept], RED.image[RED.labels == kept])


def test_what_cannot_be_transferred_is_said(exact):
    with pytest.raises(ValueError, match="the giver has no skirt; `labels` must name some of what is there"):
        exact.transfer(RED, BLUE, {Label.SKIRT})
    bald = BLUE._replace(labels=np.where(BLUE.labels == Label.HAIR, Label.FACE, BLUE.labels).astype(np.uint8))
    with pytest.raises(ValueError, match="the wearer has no hair"):
        exact.transfer(bald, RED, {Label.HAIR})
    with pytest.raises(ValueError, match="`shirt` is no label of a person; there are face, hair, upper"):
        parse_labels("upper,shirt")
    with pytest.raises(ValueError, match="no label is given"):
        parse_labels(" ,")
    assert parse_labels("Upper, pants") == {Label.UPPER, Label.PANTS}


def test_an_edit_repaints_only_what_it_changed(exact):
    edited = RED.labels.copy()
    edited[20:28, 5:8] = Label.R_LEG  # a trouser leg shortened to skin
    edited[6:9, 10:12] = Label.BACKGROUND
    drawn = exact.edit(RED, edited)
    np.testing.assert_array_equal(drawn.labels, edited)
    beyond = ~with_rim(edited != RED.labels, edited)
    assert beyond.mean() > 0.8
    np.testing.assert_array_equal(drawn.image[beyond], RED.image[beyond])
    skin = np.median(RED.image[RED.labels == Label.FACE], axis=0)
    assert np.abs(drawn.image[21:27, 6].mean(0) - skin).max() < 25
    assert np.abs(drawn.image[7, 11].astype(int) - RED.image[7, 14]).max() < 25
    np.testing.assert_array_equal(exact.edit(RED, RED.labels).image, RED.image)
    with pytest.raises(ValueError, match=r"`labels` is uint8 \[3, 3\]"):
        exact.edit(RED, edited[:3, :3])


def test_trained_or_not_the_networks_touch_no_other_pixel(predictor):
    drawn = predictor.transfer(RED, BLUE, {Label.PANTS})
    beyond = ~with_rim(RED.labels == Label.PANTS, RED.labels)
    np.testing.assert_array_equal(drawn.image[beyond], RED.image[beyond])
    assert (drawn.image != RED.image).any()


def test_growing_mirrors_the_material():
    image = np.repeat(np.arange(12, dtype=np.uint8)[None, :, None], 3, 2).repeat(5, 0)
    grown = grow(image, np.broadcast_to(np.arange(12) < 6, (5, 12)).copy())
    np.testing.assert_array_equal(grown[2, :, 0], [0, 1, 2, 3, 4, 3, 2, 1, 0, 2, 1, 0])


def test_a_collage_renames_cloth_and_finds_skin():
    skirt = np.where(RED.labels == Label.PANTS, Label.SKIRT, RED.labels).astype(np.uint8)
    np.testing.assert_array_equal(collage(RED.image, RED.labels, skirt), RED.image)
    bare = np.where(RED.labels == Label.PANTS, Label.L_LEG, RED.labels).astype(np.uint8)
    skin = np.median(RED.image[RED.labels == Label.FACE], axis=0)
    assert np.abs(collage(RED.image, RED.labels, bare)[RED.labels == Label.PANTS] - skin).max() <= 4


def test_pasting_leaves_the_outside_and_no_old_rim():
    photo, painting = np.full((9, 9, 3), 200, np.uint8), np.full((9, 9, 3), 50, np.uint8)
    where = np.zeros((9, 9), bool)
    where[2:7, 2:7] = True
    photo[where] = 0  # the old cloth
    pasted = paste(photo, painting, where)
    assert (pasted[~where] == 200).all()
    assert (pasted[3:6, 3:6] == 50).all()
    assert (pasted[where] >= 50).all()
    assert with_rim(where, np.zeros((9, 9), np.uint8)).sum() == (5 + 2 * applications.RIM_PX) ** 2


def test_a_slip_of_the_parser_is_no_garment():
    labels = RED.labels.copy()
    labels[20, 6] = Label.SKIRT
    assert worn(labels, CLOTHING_LABELS) == {Label.UPPER, Label.PANTS}
    swap = swap_garments(labels, BLUE.labels, BLUE.labels, CLOTHING_LABELS)
    np.testing.assert_array_equal(swap.labels, labels)


def test_many_poses_are_what_single_drawings_are(predictor, monkeypatch):
    monkeypatch.setattr("spt_dist.infer.POSES_PER_PASS", 2)
    poses = [Keypoints(RED.joints + np.float32([shift, 0, 0]), SIZE) for shift in (0, 1, 2, -1, -2)]
    calls = {"semantic": 0, "appearance": 0}
    for name in calls:
        network = getattr(predictor, name)

        def counted(*inputs, name=name, encode=network.encode_source):
            calls[name] += 1
            return encode(*inputs)

        monkeypatch.setattr(network, "encode_source", counted)
    drawn = predictor.poses(predictor.encode(RED), poses)
    assert calls == {"semantic": 1, "appearance": 1}
    assert len(drawn) == len(poses)
    for pose, got in zip(poses, drawn, strict=True):
        alone = predictor.generate(*RED, pose.joints, pose.size)
        assert np.abs(got.image.astype(int) - alone.image).max() <= 1
        assert (got.labels == alone.labels).mean() > 0.99
    assert predictor.poses(predictor.encode(RED), []) == []
    with pytest.raises(ValueError, match="`pose` shows no joint"):
        predictor.poses(predictor.encode(RED), [Keypoints(RED.joints * np.float32([1, 1, 0]), None)])


def test_a_split_pass_gives_the_numbers_of_a_whole_one(predictor):
    framed = predictor.frame(RED)
    inputs = [torch.from_numpy(each[None].copy()) for each in framed]
    image, labels, joints = inputs
    target = joints + torch.tensor([1.0, 0.5, 0.0])
    encoded = predictor.encode_batch(image, labels, joints)
    for whole, split in zip(predictor.draw(*inputs, target), predictor.decode_batch(encoded, target), strict=True):
        torch.testing.assert_close(whole, split, rtol=0, atol=0)


def test_the_benchmark_prints_the_ratio(tiny_config):
    cost = bench_poses.measure(tiny_config, poses=4, rounds=10)
    print(cost.text)
    assert cost.together_s < cost.full_s
    assert "ratio" in cost.text


def test_poses_between_poses():
    first, second = RED.joints.copy(), RED.joints + np.float32([4, 0, 0])
    second[3] = (-1, -1, 0)
    poses = interpolate([first, second], 3)
    assert len(poses) == 5
    np.testing.assert_allclose(poses[1][0], first[0] + (1, 0, 0))
    np.testing.assert_array_equal(poses[1][3], first[3])
    np.testing.assert_array_equal(poses[3][3], (-1, -1, 0))
    np.testing.assert_array_equal(interpolate([first], 3), [first])
