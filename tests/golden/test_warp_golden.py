"""The part-wise warp and the face crop against the recorded ones, values and gradients."""

import numpy as np
import pytest
import torch
from spt_kernels import part_warp
from spt_kernels.part_warp import _triton, reference
from torch.testing import assert_close

from spt_dist.geometry import crop_faces, frame_quads, part_quads

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
def quads(geometry):
    """Corners of the recorded target poses; `test_geometry_golden` shows that they give the recorded masks."""
    yx = torch.from_numpy(geometry["keypoints_yx"][geometry["pairs"][:2, 1]]).float()
    visible = (yx >= 0).all(dim=-1, keepdim=True)
    return part_quads(torch.cat([yx.flip(-1), visible], dim=-1), SIZE)


@pytest.mark.parametrize("form", [reference.part_warp, part_warp], ids=["reference", "op"])
@pytest.mark.parametrize("level", ["full", "half"])
def test_values_and_gradients(recorded, transforms, quads, level, form):
    features = recorded[f"{level}_x"].clone().requires_grad_()
    values = form(features, transforms, quads, SIZE)
    (gradient,) = torch.autograd.grad(values, features, recorded[f"{level}_gy"])
    assert_close(values, recorded[f"{level}_y"], rtol=0, atol=1e-5)
    assert_close(gradient, recorded[f"{level}_gx"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", ["half", pytest.param("full", marks=pytest.mark.thorough)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter's run; a GPU's is among the kernel tests")
def test_kernels_in_the_interpreter(recorded, transforms, quads, level):
    features = recorded[f"{level}_x"]
    ndc = reference.ndc_transforms(transforms, tuple(features.shape[-2:]), SIZE)
    values, winners = _triton.forward(features, ndc, quads, SIZE)
    gradient = _triton.backward(recorded[f"{level}_gy"], winners, ndc, quads, SIZE)
    assert_close(values, recorded[f"{level}_y"], rtol=0, atol=1e-5)
    assert_close(gradient, recorded[f"{level}_gx"], rtol=0, atol=1e-5)


def test_face(geometry, recorded):
    faces = recorded["face_x_stride4"]
    transforms = torch.from_numpy(geometry["face_transforms"][:2, :, :6]).float().unflatten(-1, (2, 3))
    result = part_warp(faces, transforms, frame_quads(faces, SIZE), SIZE)
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
