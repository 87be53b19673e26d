"""From a folder of weights to pictures: the same whatever the batch, and refusals that name the argument."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spt_dist import config, pictures
from spt_dist.body import Label
from spt_dist.infer import Person, Predictor, check, read_keypoints, read_person
from spt_dist.models.weights import save_weights
from spt_dist.train.state import build_networks

SIZE = (32, 16)


@pytest.fixture
def predictor(tiny_config, tmp_path):
    return load(tiny_config, tmp_path)


def load(tiny_config, tmp_path) -> Predictor:
    networks = build_networks(tiny_config.networks, seed=0)
    card = {"config": config.to_tree(tiny_config), "frame": "person"}
    save_weights(tmp_path / "weights", {name: networks[name] for name in ("semantic", "appearance")}, card)
    return Predictor.load(tmp_path / "weights")


def person(seed: int, size=(90, 70)):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, size, dtype=np.uint8)
    places = rng.uniform((5, 5), (size[1] - 6, size[0] - 6), (18, 2))
    return image, labels, np.column_stack((places, np.ones(18))).astype(np.float32)


def test_a_batch_gives_what_its_singles_give(predictor):
    people = [person(seed, (60 + 10 * seed, 70)) for seed in range(3)]
    targets = [person(seed + 10)[2] for seed in range(3)]
    together = predictor.generate_batch(*map(list, zip(*people, strict=True)), targets)
    for one, target, drawn in zip(people, targets, together, strict=True):
        alone = predictor.generate(*one, target)
        assert drawn.image.shape == (*SIZE, 3)
        assert np.abs(drawn.image.astype(int) - alone.image).max() <= 1
        assert (drawn.labels == alone.labels).mean() > 0.99


def test_drawing_is_deterministic_and_follows_the_pose(predictor):
    one, target = person(0), person(1)[2]
    first = predictor.generate(*one, target)
    np.testing.assert_array_equal(first.image, predictor.generate(*one, target).image)
    assert (predictor.generate(*one, person(2)[2]).image != first.image).any()


def test_a_seed_decides_the_noise_whatever_is_drawn_together(tiny_config, tmp_path):
    predictor = load(with_dropout(tiny_config), tmp_path)
    assert predictor.has_noise
    one, target, batch = person(0), person(1)[2], [[each] * 4 for each in (*person(0), person(1)[2])]
    seven, none, eight, again = predictor.generate_batch(*batch, seeds=[7, None, 8, 7])
    np.testing.assert_array_equal(seven.image, again.image)
    assert np.abs(seven.image.astype(int) - predictor.generate(*one, target, seed=7).image).max() <= 1
    assert np.abs(none.image.astype(int) - predictor.generate(*one, target).image).max() <= 1
    assert np.abs(seven.image.astype(int) - none.image).max() > 3
    assert np.abs(seven.image.astype(int) - eight.image).max() > 3
    edited = person(0)[1].copy()
    edited[20:60] = Label.UPPER
    first, second = (predictor.edit(Person(*one), edited, seed).image for seed in (1, 2))
    assert (first != second).any()
    giver = Person(*person(5))
    first, second = (predictor.transfer(Person(*one), giver, seed=seed).image for seed in (1, 2))
    assert (first != second).any()


def test_a_network_that_has_learned_without_noise_has_none(tiny_config, tmp_path):
    predictor = load(with_dropout(tiny_config, 0.0), tmp_path)
    one, target = person(0), person(1)[2]
    assert not predictor.has_noise
    np.testing.assert_array_equal(*(predictor.generate(*one, target, seed=seed).image for seed in (7, None)))


def with_dropout(settings: config.Config, rate: float = 0.5) -> config.Config:
    appearance = replace(settings.networks.appearance, dropout=rate)
    return replace(settings, networks=replace(settings.networks, appearance=appearance))


def test_a_pose_from_a_larger_picture_is_the_same_pose(predictor):
    one, target = person(0), person(1)[2]
    twice = target * (2, 2, 1) + (0.5, 0.5, 0)
    drawn, larger = predictor.generate(*one, target), predictor.generate(*one, twice.astype(np.float32), (180, 140))
    assert np.abs(drawn.image.astype(int) - larger.image).mean() < 3


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        (0, np.zeros((90, 70), np.uint8), r"`image` is uint8 \[90, 70\]; give uint8 RGB"),
        (0, "photo.jpg", "`image` is a str"),
        (0, np.zeros((0, 70, 3), np.uint8), r"`image` is uint8 \[0, 70, 3\] and holds no pixel"),
        (1, np.zeros((9, 7), np.uint8), r"`labels` is uint8 \[9, 7\].*\[90, 70\]"),
        (1, np.full((90, 70), 12, np.uint8), "`labels` holds 12; labels are 0 to 9"),
        (2, np.zeros((17, 3), np.float32), r"`source_joints` is float32 \[17, 3\]; give \[18, 3\]"),
        (3, np.full((18, 3), np.nan, np.float32), "`target_joints` holds NaN"),
        (3, np.zeros((18, 3), np.float32), "`target_joints` shows no joint"),
    ],
)
def test_what_cannot_be_drawn_is_named(argument, value, said):
    arguments = [*person(0), person(1)[2]]
    arguments[argument] = value
    with pytest.raises(ValueError, match=said):
        check(*arguments)


def test_the_predictor_checks_before_it_draws(predictor):
    with pytest.raises(ValueError, match="`labels` holds 12"):
        predictor.generate(person(0)[0], np.full((90, 70), 12, np.uint8), person(0)[2], person(1)[2])


def test_lists_and_sizes_that_cannot_be_used_are_named(predictor):
    image, labels, joints = person(0)
    with pytest.raises(ValueError, match=r"`target_joints` and `target_sizes` hold \[1, 1, 1, 2, 1\] items"):
        predictor.generate_batch([image], [labels], [joints], [joints, joints])
    with pytest.raises(ValueError, match=r"`target_size` is \(0, 70\)"):
        predictor.generate(image, labels, joints, joints, (0, 70))
    assert predictor.generate_batch([], [], [], []) == []


def test_a_pose_outside_its_picture_is_refused(predictor):
    away = person(1)[2] + np.array([500, 500, 0], np.float32)
    predictor.how = "whole"
    with pytest.raises(ValueError, match="`target_joints` has no joint inside its picture"):
        predictor.generate(*person(0), away)


def test_keypoint_files(tmp_path):
    rows = [[1, 2], [3.5, 4, 1], None, [5, 6, 0]] + [[0, 0]] * 14
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "object.json").write_text(json.dumps({"joints": rows, "size": [20, 10]}))
    joints = read_keypoints(tmp_path / "list.json").joints
    np.testing.assert_array_equal(joints[:4], [[1, 2, 1], [3.5, 4, 1], [-1, -1, 0], [-1, -1, 0]])
    same = read_keypoints(tmp_path / "object.json")
    np.testing.assert_array_equal(same.joints, joints)
    assert same.size == (20, 10)
    ys, xs = [2] + [-1] * 17, [1] + [-1] * 17
    (tmp_path / "a.csv").write_text(f"name:keypoints_y:keypoints_x\nb.jpg: {ys}: {xs}\n")
    joints = read_keypoints(f"{tmp_path}/a.csv:b.jpg").joints
    np.testing.assert_array_equal(joints[:2], [[1, 2, 1], [-1, -1, 0]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1", "is not JSON"),
        ("[]", "list of 18 joints"),
        ('["a"' + ", null" * 17 + "]", "a joint is"),
        (None, "cannot read"),
    ],
)
def test_bad_keypoint_files(tmp_path, text, said):
    if text is not None:
        (tmp_path / "k.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_keypoints(tmp_path / "k.json")


def test_from_files_to_a_picture(predictor, tmp_path):
    image, labels, joints = person(0)
    pictures.save(image, tmp_path / "a.png")
    pictures.save(np.repeat(labels[..., None], 3, 2), tmp_path / "colour.png")
    (tmp_path / "k.json").write_text(json.dumps(joints.tolist()))
    with pytest.raises(ValueError, match=r"colour\.png` must have a single channel"):
        read_person(tmp_path / "a.png", tmp_path / "k.json", tmp_path / "colour.png")
    with pytest.raises(ValueError, match="cannot read the image"):
        read_person(tmp_path / "none.png", tmp_path / "k.json", tmp_path / "colour.png")


def test_weights_without_a_generator_are_refused(tiny_config, tmp_path):
    semantic = build_networks(tiny_config.networks, seed=0)["semantic"]
    save_weights(tmp_path, {"semantic": semantic}, {"config": config.to_tree(tiny_config)})
    with pytest.raises(ValueError, match=r"lacks the weights of \['appearance'\]"):
        Predictor.load(tmp_path)
    assert torch.is_grad_enabled()
