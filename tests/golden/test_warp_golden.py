"""The part-wise warp and the face crop against the recorded ones, values and gradients."""

import numpy as np
import pytest
import torch
from spt_kernels import part_warp
from spt_kernels.part_warp import _triton, reference
from torch.testing import assert_close

from spt_dist.geometry import crop_faces, resize_masks

pytestmark = pytest.mark.golden
SIZE = (256, 256)


@pytest.fixture(scope="module")
def geometry(golden):
    return np.load(golden / "geometry.npz")


@pytest.fixture(scope="module")
def recorded(golden):
    return {name: torch.from_numpy(array) for name, array in np.load(golden / "warp.npz").items()}


@pytest.fixture(scope="module")
def transforms(geometry):
    return torch.from_numpy(geometry["part_transforms"][:2, :, :6]).float().unflatten(-1, (2, 3))


@pytest.fixture(scope="module")
def masks(geometry):
    return torch.from_numpy(np.unpackbits(geometry["part_masks"][:2], axis=-1).astype(bool))


@pytest.mark.parametrize("form", [reference.part_warp, part_warp], ids=["reference", "op"])
@pytest.mark.parametrize("level", ["full", "half"])
def test_values_and_gradients(recorded, transforms, masks, level, form):
    features = recorded[f"{level}_x"].clone().requires_grad_()
    values = form(features, transforms, resize_masks(masks, tuple(features.shape[-2:])), SIZE)
    (gradient,) = torch.autograd.grad(values, features, recorded[f"{level}_gy"])
    assert_close(values, recorded[f"{level}_y"], rtol=0, atol=1e-5)
    assert_close(gradient, recorded[f"{level}_gx"], rtol=0, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter's run; a GPU's is among the kernel tests")
def test_the_kernel_is_as_near_as_float32_positions_allow(recorded, transforms, masks):
    """The recording's positions are rounded to float32: its values lie up to 2.4e-5 from the exact ones."""
    features = recorded["half_x"]
    ndc = reference.ndc_transforms(transforms, tuple(features.shape[-2:]), SIZE)
    values, _ = _triton.forward(features, ndc, resize_masks(masks, tuple(features.shape[-2:])))
    assert_close(values, recorded["half_y"], rtol=0, atol=3e-5)


def test_face(geometry, recorded):
    faces = recorded["face_x_stride4"]
    transforms = torch.from_numpy(geometry["face_transforms"][:2, :, :6]).float().unflatten(-1, (2, 3))
    result = part_warp(faces, transforms, torch.ones_like(faces[:, :1]), SIZE)
    assert_close(result, recorded["face_y"], rtol=0, atol=1e-5)


def test_crop_faces_finds_the_same_box(geometry, recorded):
    """Joints at a quarter of the size round the box differently, so only the crop's place is compared: 2 px."""
    yx = torch.from_numpy(geometry["keypoints_yx"][:2]).float()
    visible = (yx >= 0).all(dim=-1, keepdim=True)
    joints = torch.cat([torch.where(visible, yx.flip(-1) / 4, -1), visible], dim=-1)
    columns = torch.arange(64.0).expand(2, 3, 64, 64)
    cropped = crop_faces(columns, joints)
    affine = torch.from_numpy(geometry["face_transforms"][:2, 0]).float()
    truth = affine[:, 0, None] * torch.arange(64.0) + affine[:, 2, None] / 4
    assert_close(cropped[:, 0, 32], truth, rtol=0, atol=2)
