"""Masks, transforms and heat maps against the recorded ones."""

import numpy as np
import pytest
import torch

from spt_dist import geometry

pytestmark = pytest.mark.golden
SIZE = (256, 256)


@pytest.fixture(scope="module")
def recorded(golden):
    return np.load(golden / "geometry.npz")


@pytest.fixture(scope="module")
def joints(recorded):
    """[poses, 18, 3], from (y, x) with -1 for missing."""
    yx = torch.from_numpy(recorded["keypoints_yx"]).double()
    return torch.cat([yx.flip(-1), (yx >= 0).all(dim=-1, keepdim=True)], dim=-1)


def test_part_masks_are_exact(recorded, joints):
    truth = np.unpackbits(recorded["part_masks"], axis=-1).astype(bool)
    masks = geometry.part_masks(joints[recorded["pairs"][:, 1]].float(), SIZE).numpy()
    assert (masks != truth).sum() == 0


def test_part_transforms(recorded, joints):
    source, target = joints[recorded["pairs"].T]
    transforms = geometry.part_transforms(target, source, SIZE).flatten(-2).numpy()
    np.testing.assert_allclose(transforms, recorded["part_transforms"][..., :6], rtol=0, atol=1e-6)
    single = geometry.part_transforms(target.float(), source.float(), SIZE)
    assert single.dtype == torch.float32
    np.testing.assert_array_equal(single.flatten(-2).numpy(), transforms.astype(np.float32))


def test_face_transforms(recorded, joints):
    transforms = geometry.face_transforms(joints, SIZE).flatten(-2).numpy()
    np.testing.assert_allclose(transforms, recorded["face_transforms"][..., :6], rtol=0, atol=1e-6)


def test_heatmaps(recorded, joints):
    maps = geometry.heatmaps(joints[:2].float(), SIZE)[..., ::8, ::8].numpy()
    np.testing.assert_allclose(maps, recorded["heatmaps_stride8"], rtol=0, atol=1e-6)
