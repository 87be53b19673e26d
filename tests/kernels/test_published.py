"""The published way of computing each op equals its definition: what benchmarks compare is the same thing."""

import pytest
import torch
from spt_kernels.bench import published
from spt_kernels.bench.cases import CASES, make
from spt_kernels.bench.scene import PEOPLE, load
from spt_kernels.bench.shapes import SHAPES, Shape
from spt_kernels.bench.timing import run
from spt_kernels.part_masks import reference as masks_reference
from spt_kernels.pose_heatmaps import reference as heatmaps_reference
from torch.testing import assert_close

SMALL = {  # the features' sizes and the pictures'
    "semantic_style_loss": Shape(3, 5, 64, 32, (128, 64)),
    "part_warp": Shape(3, 5, 64, 32, (128, 64)),
    "pose_maps": Shape(3, 18, 64, 32, (64, 32)),
    "norm_act": Shape(2, 6, 9, 7, (64, 32)),
    "tile_conv": Shape(2, 64, 17, 19, (64, 32)),
    "packed_conv": Shape(2, 64, 34, 30, (64, 32)),
    "packed_conv_transposed": Shape(2, 64, 33, 31, (64, 32)),
}


@pytest.mark.parametrize("op", CASES)
def test_published_and_ours_equal_the_definition(op):
    case = make(op, SMALL[op], PEOPLE, "cpu", torch.float32)
    truths = run(case.spellings["eager"], case.leaves)
    assert all(truth.double().abs().max() > 0 for truth in truths)
    for name in case.spellings.keys() - {"eager"}:
        for result, truth in zip(run(case.spellings[name], case.leaves), truths, strict=True):
            assert_close(result, truth, rtol=1e-4, atol=2e-5 * float(truth.double().abs().max()))


def test_published_maps_equal_the_definition_to_the_pixel_at_full_size():
    scene = load(PEOPLE, 8, (256, 256))
    truth = masks_reference.part_masks(scene.quads, (256, 256))
    assert torch.equal(published.part_masks(scene.quads, (256, 256)), truth)
    maps = published.pose_heatmaps(scene.joints, scene.visible, (256, 256), 6.0)
    assert_close(maps, heatmaps_reference.pose_heatmaps(scene.joints, scene.visible, (256, 256), 6.0))


def test_a_missing_part_covers_nothing():
    quads = torch.full((1, 2, 4, 2), torch.nan, dtype=torch.float64)
    assert not published.part_masks(quads, (8, 8)).any()


def test_every_benchmark_has_shapes():
    assert SHAPES.keys() == CASES.keys()
