"""Scenes: numbers do not depend on whether a source was drawn before, as a target."""

from dataclasses import replace

import torch

from spt_dist.bench_steps import drawn_pairs
from spt_dist.config import Config, Data
from spt_dist.data.schema import Pairs
from spt_dist.train.scene import Scenes, build_scene

RUN = Config(data=Data(image_size=(64, 48), heatmap_sigma_px=2.0))


def assert_same(one, other):
    for mine, yours in zip(
        (*one.source, *one.target, *one.there[:2]), (*other.source, *other.target, *other.there[:2]), strict=True
    ):
        torch.testing.assert_close(mine, yours, rtol=0, atol=0, equal_nan=True)


def test_a_target_that_becomes_the_source_is_not_drawn_again():
    a, b = drawn_pairs((64, 48), 2)
    c = drawn_pairs((64, 48), 2, seed=1).source
    scenes = Scenes(RUN)
    first, second = scenes.build(Pairs(a, b), None, False), scenes.build(Pairs(b, c), None, False)
    assert second.source is first.target
    assert_same(second, build_scene(Pairs(b, c), RUN, None, False))


def test_other_sources_are_drawn():
    a, b = drawn_pairs((64, 48), 2)
    scenes = Scenes(RUN)
    for pairs, own_pose in ((Pairs(a, b), False), (Pairs(a, b), False), (Pairs(b, a), True), (Pairs(a, b), False)):
        assert_same(scenes.build(pairs, None, own_pose), build_scene(pairs, RUN, None, own_pose))


def test_the_true_target_becomes_no_other_source():
    run = replace(RUN, data=replace(RUN.data, true_targets=True))
    a, b = drawn_pairs((64, 48), 2)
    scenes = Scenes(run)
    scenes.build(Pairs(a, b), None, False)
    again = scenes.build(Pairs(a, b), None, False)
    assert_same(again, build_scene(Pairs(a, b), run, None, False))
    assert again.truth is again.target
