"""Geometry beside the recorded numbers: where the published code fails, on odd sizes, and against other libraries."""

import cv2
import numpy as np
import pytest
import torch
from skimage import draw, measure, morphology
from spt_kernels.part_warp.reference import resize_masks
from torch.testing import assert_close

from spt_dist import geometry
from spt_dist.affine import fit_affine
from spt_dist.body import FLIP_JOINTS, MASK_LIMBS, PART_INDEX, WARP_PARTS, Joint

SIZE = (96, 64)
IDENTITY = torch.eye(2, 3)
FRONT = {  # (x, y) of a person who faces us, in a picture of 96 x 64
    "NOSE": (32, 14), "NECK": (32, 24), "R_SHOULDER": (23, 25), "R_ELBOW": (19, 38), "R_WRIST": (17, 50),
    "L_SHOULDER": (41, 25), "L_ELBOW": (46, 37), "L_WRIST": (49, 49), "R_HIP": (26, 50), "R_KNEE": (25, 68),
    "R_ANKLE": (24, 86), "L_HIP": (38, 51), "L_KNEE": (40, 69), "L_ANKLE": (41, 87), "L_EYE": (34, 12),
    "R_EYE": (30, 12), "L_EAR": (37, 13), "R_EAR": (27, 13),
}  # fmt: skip


def pose(*missing, shift=(0.0, 0.0), scale=1.0):
    """[1, 18, 3]: FRONT, scaled, shifted, without some joints."""
    rows = torch.tensor([[*FRONT[joint.name], 1.0] for joint in Joint])
    rows[:, :2] = rows[:, :2] * scale + torch.tensor(shift)
    rows[[Joint[name] for name in missing]] = torch.tensor([-1.0, -1.0, 0.0])
    return rows[None]


def nobody():
    return pose(*FRONT)


def part(tensor, name):
    return tensor[0, PART_INDEX[name]]


def test_heatmaps_by_the_formula():
    maps = geometry.heatmaps(pose("NECK"), (10, 40), sigma_px=3.0)
    assert maps.shape == (1, 18, 10, 40)
    assert maps[0, Joint.NECK].abs().max() == 0
    d2 = (5 - 14) ** 2 + (31 - 32) ** 2
    assert_close(maps[0, Joint.NOSE, 5, 31], torch.tensor(np.exp(-d2 / 18.0)).float(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("step", [1, 10], ids=["any integers", "multiples of ten"])
def test_limb_masks_follow_scikit_image_on_every_border(step):
    generator = torch.Generator().manual_seed(step)
    joints = torch.ones(20, 18, 3)
    joints[..., :2] = torch.randint(0, 50 // step, (20, 18, 2), generator=generator) * step
    masks = geometry.part_masks(joints, (48, 40))
    corners, _ = geometry._limbs(joints.double(), "mask")
    for sample in range(20):
        for limb in range(8):
            truth = measure.grid_points_in_poly((48, 40), corners[sample, limb].flip(-1).numpy())
            np.testing.assert_array_equal(masks[sample, 2 + limb].numpy(), truth)


def test_the_masks_of_a_whole_person():
    masks = geometry.part_masks(pose(), SIZE)
    assert masks.dtype == torch.bool
    assert masks.shape == (1, 10, *SIZE)
    assert part(masks, "body").all()
    torso = np.sqrt((np.hypot(26 - 23, 50 - 25) ** 2 + np.hypot(38 - 41, 51 - 25) ** 2) / 2)
    side = 2 * int(0.4 * torso)
    assert part(masks, "head").sum() == side * side
    assert part(geometry.part_masks(pose(shift=(0.0, -7.0)), SIZE), "head").sum() == side * (5 + side // 2)  # clipped
    for limb in WARP_PARTS[2:]:
        middle = (pose()[0, limb.upper, :2] + pose()[0, limb.lower, :2]) / 2
        x, y = middle.round().int().tolist()
        assert part(masks, limb.name)[y, x]


def test_a_missing_joint_empties_its_limbs_only():
    masks = geometry.part_masks(pose("R_KNEE"), SIZE)
    empty = {limb.name for limb in WARP_PARTS if not part(masks, limb.name).any()}
    assert empty == {"right thigh", "right shin"}


@pytest.mark.parametrize(
    ("missing", "length"),
    [
        ((), np.sqrt((634 + 685) / 2)),
        (("R_HIP",), np.sqrt(685)),
        (("R_SHOULDER",), np.sqrt(685)),
        (("R_HIP", "L_HIP"), (87 - 12) / 2),
        (("R_HIP", "L_SHOULDER"), (87 - 12) / 2),
        (tuple(FRONT), 0),
        (tuple(name for name in FRONT if name != "NOSE"), 0),
    ],
    ids=["all", "one hip missing", "one shoulder missing", "no hip", "no complete side", "nobody", "a nose"],
)
def test_torso_length(missing, length):
    assert_close(geometry.torso_length(pose(*missing).double()), torch.tensor([float(length)], dtype=torch.float64))


def test_the_same_pose_moves_nothing():
    transforms = geometry.part_transforms(pose(), pose(), SIZE)
    assert_close(transforms, IDENTITY.expand(1, 10, 2, 3), rtol=0, atol=1e-4)


def test_every_part_follows_a_shifted_and_scaled_person():
    transforms = geometry.part_transforms(pose(), pose(scale=1.5, shift=(7, -4)), SIZE)
    truth = torch.tensor([[1.5, 0, 7], [0, 1.5, -4]])
    assert_close(transforms, truth.expand(1, 10, 2, 3), rtol=0, atol=1e-4)


def test_a_missing_limb_of_the_source_is_taken_from_the_other_side():
    source = pose("R_WRIST")
    transforms = geometry.part_transforms(pose(), source, SIZE)
    limb = part(transforms, "right forearm")
    moved = limb[:, :2] @ torch.tensor([18.0, 44.0]) + limb[:, 2]  # the middle of our right forearm
    assert_close(moved, torch.tensor([47.5, 43.0]), rtol=0, atol=1.0)  # the middle of the source's left one


def no_part(size=SIZE):
    far = max(1000.0, 2.0 * max(size))
    return torch.tensor([[1.0, 0.0, far], [0.0, 1.0, far]])


def test_a_limb_missing_in_the_target_or_on_both_sides_of_the_source_is_no_part():
    transforms = geometry.part_transforms(pose("R_KNEE"), pose("L_WRIST", "R_WRIST"), SIZE)
    for name in ("right thigh", "right shin", "left forearm", "right forearm"):
        assert_close(part(transforms, name), no_part())
    assert_close(part(transforms, "left thigh"), IDENTITY, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [SIZE, (64, 3000)])
def test_no_part_leaves_pictures_of_any_size(size):
    transform = part(geometry.part_transforms(nobody(), pose(), size), "left thigh")
    assert_close(transform, no_part(size))
    assert transform[0, 2] * (size[1] - 1) / size[1] > size[1]


def test_one_missing_torso_joint_still_fits_the_body():
    source = pose("L_HIP", scale=0.5, shift=(10, 20))
    transforms = geometry.part_transforms(pose("L_HIP"), source, SIZE)
    assert_close(part(transforms, "body"), torch.tensor([[0.5, 0, 10], [0, 0.5, 20]]), rtol=0, atol=1e-4)
    crossed = geometry.part_transforms(pose("R_HIP"), source, SIZE)  # two shoulders in common: no fit
    assert_close(part(crossed, "body"), IDENTITY)


def test_a_torso_on_a_line_leaves_the_picture_where_it_is():
    flat = pose()
    flat[0, [Joint.R_HIP, Joint.L_HIP, Joint.L_SHOULDER, Joint.R_SHOULDER], 0] = 30.0
    assert_close(part(geometry.part_transforms(flat, pose(), SIZE), "body"), IDENTITY)


def test_the_head_needs_a_head_joint_and_three_points_in_common():
    head = ("NOSE", "L_EYE", "R_EYE", "L_EAR", "R_EAR")
    for target, source in (
        (pose(*head), pose()),
        (pose("NOSE"), pose(*head[1:])),
        (pose(*head[1:], "L_SHOULDER"), pose()),
    ):
        assert_close(part(geometry.part_transforms(target, source, SIZE), "head"), no_part())
    one = geometry.part_transforms(pose(*head[1:]), pose(shift=(3, 3)), SIZE)
    assert_close(part(one, "head"), torch.tensor([[1.0, 0, 3], [0, 1, 3]]), rtol=0, atol=1e-4)


def test_nobody_is_defined():
    assert geometry.heatmaps(nobody(), SIZE).sum() == 0
    warps = geometry.part_warps(nobody(), nobody(), SIZE)
    masks = geometry.part_masks(nobody(), SIZE)
    assert part(masks, "body").all()
    assert not masks[:, 1:].any()
    assert warps.quads[:, 1:].isnan().all()
    assert_close(part(warps.transforms, "body"), IDENTITY)
    assert_close(warps.transforms[:, 1:], no_part().expand(1, 9, 2, 3))
    assert_close(geometry.face_transforms(nobody(), SIZE), no_part()[None, None])
    assert geometry.crop_faces(torch.ones(1, 3, *SIZE), nobody()).abs().max() == 0
    assert geometry.pose_mask(nobody(), SIZE).sum() == 0


def test_a_batch_is_its_samples():
    poses = torch.cat([pose(), pose("R_HIP", "NOSE"), nobody(), pose("L_WRIST", shift=(-9, 3))])
    sources = poses.flip(0)
    together = geometry.part_warps(poses, sources, SIZE)
    for index in range(4):
        alone = geometry.part_warps(poses[index : index + 1], sources[index : index + 1], SIZE)
        assert_close(alone.transforms[0], together.transforms[index], rtol=1e-6, atol=1e-6)
        assert_close(alone.quads[0], together.quads[index], equal_nan=True)


def test_flipping_both_poses_flips_the_masks():
    width = SIZE[1]
    flipped = pose()[:, list(FLIP_JOINTS)]
    flipped[..., 0] = width - 1 - flipped[..., 0]
    mirrored = [PART_INDEX[limb.mirror or limb.name] for limb in WARP_PARTS]
    masks, other = geometry.part_masks(pose(), SIZE), geometry.part_masks(flipped, SIZE)[:, mirrored].flip(-1)
    differing = (masks != other)[:, 2:].float().mean()
    assert differing < 1e-3  # borders are a matter of rounding


def test_fits_are_exact_on_exact_maps_and_refuse_lines():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 5, 2, generator=generator, dtype=torch.float64) * 50
    truth = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64)
    source = target @ truth[..., :2].mT + truth[..., 2][:, None]
    used = torch.ones(3, 5, dtype=torch.bool)
    used[1, 3:] = False  # three points are enough
    used[2, 2:] = False  # two are not
    affine, exists = fit_affine(target, source, used)
    assert exists.tolist() == [True, True, False]
    assert_close(affine[:2], truth[:2], rtol=0, atol=1e-9)
    assert affine.isfinite().all()


def test_bounded_stretch_keeps_scales_and_the_centre():
    narrow = pose()
    narrow[..., 0] = 32 + (narrow[..., 0] - 32) / 4  # turned sideways
    free = part(geometry.part_transforms(pose(), narrow, SIZE), "body")
    bound = part(geometry.part_transforms(pose(), narrow, SIZE, max_stretch=1.5), "body")
    assert torch.linalg.svdvals(free[:, :2])[-1] < 0.3
    assert_close(torch.linalg.svdvals(bound[:, :2]).min(), torch.tensor(1 / 1.5), rtol=1e-5, atol=0)
    centre = torch.tensor([32.0, 37.75])  # of the torso's joints
    assert_close(bound[:, :2] @ centre + bound[:, 2], free[:, :2] @ centre + free[:, 2], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"`max_stretch` is 0\.5"):
        geometry.part_transforms(pose(), pose(), SIZE, max_stretch=0.5)


def test_crop_faces_enlarges_the_head_box():
    columns = torch.arange(64.0).expand(1, 3, *SIZE)
    rows = torch.arange(96.0)[:, None].expand(1, 3, *SIZE)
    torso = float(geometry.torso_length(pose().double()))
    left, top, right, bottom = (
        32 - int(0.4 * torso),
        12 - int(0.4 * torso),
        32 + int(0.4 * torso),
        12 + int(0.4 * torso),
    )
    across = geometry.crop_faces(columns, pose())[0, 0, 5]
    down = geometry.crop_faces(rows, pose())[0, 0, :, 5]
    assert_close(across, left * 63 / 64 + torch.arange(64.0) * (right - left) / 64, rtol=0, atol=1e-3)
    assert_close(down, top * 95 / 96 + torch.arange(96.0) * (bottom - top) / 96, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(48, 32), (24, 16), (33, 17)])
def test_masks_are_resized_as_opencv_does(size):
    masks = geometry.part_masks(pose(), SIZE)
    resized = resize_masks(masks, size, torch.float32)
    for ours, mask in zip(resized[0], masks[0], strict=True):
        truth = cv2.resize(mask.numpy().astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(ours.numpy(), truth, rtol=0, atol=1e-5)


def test_pose_mask_follows_the_fields_drawing():
    joints = pose("R_EAR")
    drawn = np.zeros(SIZE, bool)
    for start, end in MASK_LIMBS:
        if joints[0, start, 2] == 0 or joints[0, end, 2] == 0:
            continue
        a, b = joints[0, start, :2].double().numpy(), joints[0, end, :2].double().numpy()
        aside = 4 * np.array([b[1] - a[1], a[0] - b[0]]) / np.linalg.norm(b - a)
        corners = np.stack([a + aside, a - aside, b - aside, b + aside])
        drawn |= measure.grid_points_in_poly(SIZE, corners[:, ::-1])
    for x, y, visible in joints[0].tolist():
        if visible:
            rows, columns = draw.disk((y, x), 4, shape=SIZE)
            drawn[rows, columns] = True
    truth = morphology.closing(drawn, np.ones((5, 5)))
    ours = geometry.pose_mask(joints, SIZE)
    assert ours.shape == (1, 1, *SIZE)
    assert set(ours.unique().tolist()) == {0.0, 1.0}
    assert (ours[0, 0].bool().numpy() != truth).sum() <= 2  # borders are a matter of rounding
    assert geometry.pose_mask(joints, SIZE, half_width_px=2.0).sum() < ours.sum()
