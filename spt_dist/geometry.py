"""Poses as pictures and maps: keypoints -> heat maps, part masks, affine warps between two poses, head boxes.

Pure, batched, on the joints' device, without a gradient. A part's transform maps a **target** pixel (x, y) to its
**source** pixel, in px of the picture: the form a sampler wants. Sizes are (height, width) in px. The definitions are
the published ones; where the published code fails, this module decides:

- Torso length without a complete side (hip and shoulder of one side): half the longer side of the box round the
  visible joints.
- Body transform: fitted to the torso joints visible in both poses; with fewer than three, or on a line, the identity
  (the picture stays where it is).
- Head transform: head joints and shoulders visible in both poses; with no head joint or fewer than three points,
  'no part'.
- A pose without any joint: heat maps, masks and pose mask are zero but for the body's mask, which is always all ones;
  every transform but the body's is 'no part'.
- 'No part' moves every pixel out of the picture, so that the warp gives zeros.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from spt_kernels import part_masks as rasterise
from spt_kernels import part_warp, pose_heatmaps
from torch import Tensor
from torch.nn import functional as F

from spt_dist.affine import bound_stretch, fit_affine
from spt_dist.body import HEAD_JOINTS, MASK_LIMBS, PART_INDEX, TORSO_JOINTS, WARP_PARTS, Joint
from spt_dist.types import Heatmaps, Images, Joints, Quads, Transforms

HEAD_RADIUS = 0.40  # of the torso length
LIMB_RADIUS = 0.20  # of the torso length
LIMB_START = 0.1  # of the limb's length, beyond its upper joint
NO_PART_PX = 1000.0
SHOULDERS = (Joint.L_SHOULDER, Joint.R_SHOULDER)
SIDES = ((Joint.R_HIP, Joint.R_SHOULDER), (Joint.L_HIP, Joint.L_SHOULDER))
LIMBS = tuple(part for part in WARP_PARTS if part.mirror)
assert [part.name for part in WARP_PARTS] == ["body", "head", *(limb.name for limb in LIMBS)]


class PartWarps(NamedTuple):
    """How the parts of a source picture move into a target pose: maps and corners in px of a picture of `size`.

    `quads` are those of the target pose, `transforms` map it to the source's.
    """

    transforms: Transforms
    quads: Quads
    size: tuple[int, int]


def heatmaps(joints: Joints, size: tuple[int, int], sigma_px: float = 6.0, out: Heatmaps | None = None) -> Heatmaps:
    """`exp(-d^2 / (2 sigma^2))` round every joint, d in px; zero for a missing one. Written into `out` where given."""
    return pose_heatmaps(joints[..., :2], joints[..., 2] > 0, size, sigma_px, out)


@torch.no_grad()
def part_quads(joints: Joints, size: tuple[int, int]) -> Quads:
    """Where each part of the body lies: the frame for the body, a box for the head, a quadrilateral for a limb.

    Corners (x, y) in px, in float64: whether a pixel lies on a border is a matter of rounding. NaN: no such part.
    """
    joints = joints.double()
    corners, visible = _limbs(joints, "mask")
    limbs = torch.where(visible[..., None, None], corners, torch.nan)
    left, top, right, bottom = (_head_box(joints, size) - 0.5).unbind(-1)  # its ends are excluded
    head = torch.stack([left, top, right, top, right, bottom, left, bottom], dim=-1).unflatten(-1, (4, 2))
    head = torch.where(((right > left) & (bottom > top))[:, None, None], head, torch.nan)
    return torch.cat([frame_quads(joints, size), head[:, None], limbs], dim=1)


def frame_quads(like: Tensor, size: tuple[int, int]) -> Quads:
    """The quadrilateral round the whole picture, for every sample of `like`: [b 1 4 2]."""
    height, width = size
    frame = [[-1, -1], [width, -1], [width, height], [-1, height]]
    return torch.tensor(frame, dtype=torch.float64, device=like.device).expand(like.shape[0], 1, 4, 2)


def part_masks(joints: Joints, size: tuple[int, int]) -> Bool[Tensor, "b 10 h w"]:
    """Where each part of the body lies, as pictures; see `part_quads`."""
    return rasterise(part_quads(joints, size), size)


@torch.no_grad()
def part_transforms(
    target_joints: Joints, source_joints: Joints, size: tuple[int, int], max_stretch: float | None = None
) -> Transforms:
    """Affine maps from the target pose to the source pose, per part, in px of a picture of `size`.

    `max_stretch` bounds how much a map may stretch or squeeze the picture (ours; the published maps are unbounded).

    Raises:
        ValueError: `max_stretch` is below 1.
    """
    if max_stretch is not None and max_stretch < 1:
        raise ValueError(f"`max_stretch` is {max_stretch}; it is a factor of at least 1, or None for no bound")
    target, source = target_joints.double(), source_joints.double()
    points, used = _point_pairs(target, source)
    affine, exists = fit_affine(points[0].flatten(0, 1), points[1].flatten(0, 1), used.flatten(0, 1))
    if max_stretch is not None:
        weight = used.flatten(0, 1)[..., None]
        centre = (points[0].flatten(0, 1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        affine = bound_stretch(affine, centre, max_stretch)
    affine, exists = affine.unflatten(0, used.shape[:2]), exists.unflatten(0, used.shape[:2])
    identity = torch.eye(2, 3, dtype=affine.dtype, device=affine.device)
    is_body = torch.arange(len(WARP_PARTS), device=affine.device)[:, None, None] == PART_INDEX["body"]
    otherwise = torch.where(is_body, identity, _no_part(identity, size))
    return torch.where(exists[..., None, None], affine, otherwise).to(target_joints.dtype)


def part_warps(
    target_joints: Joints, source_joints: Joints, size: tuple[int, int], max_stretch: float | None = None
) -> PartWarps:
    """All that the part-wise warp from a source pose into a target pose needs; see `part_transforms`."""
    transforms = part_transforms(target_joints, source_joints, size, max_stretch)
    return PartWarps(transforms, part_quads(target_joints, size), size)


@torch.no_grad()
def face_transforms(joints: Joints, size: tuple[int, int]) -> Float[Tensor, "b 1 2 3"]:
    """Maps from a whole picture to the head's box, clipped to the picture; 'no part' where no head is seen."""
    left, top, right, bottom = _head_box(joints.double(), size).to(joints.dtype).unbind(-1)
    zero = torch.zeros_like(left)
    rows = [(right - left) / size[1], zero, left, zero, (bottom - top) / size[0], top]
    affine = torch.stack(rows, dim=-1).unflatten(-1, (2, 3))
    seen = ((right > left) & (bottom > top))[:, None, None]
    return torch.where(seen, affine, _no_part(torch.eye(2, 3).to(joints), size))[:, None]


def crop_faces(images: Images, joints: Joints) -> Images:
    """The head's box of each picture, enlarged to the picture's own size; black where no head is seen."""
    size = (images.shape[-2], images.shape[-1])
    return part_warp(images, face_transforms(joints, size), frame_quads(joints, size), size)


@torch.no_grad()
def pose_mask(joints: Joints, size: tuple[int, int], half_width_px: float = 4.0) -> Float[Tensor, "b 1 h w"]:
    """The field's mask of a person, for masked SSIM: a band along each limb and a disc on each joint, closed 5 x 5."""
    x, y = (torch.arange(length, device=joints.device).to(joints) for length in (size[1], size[0]))
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [h w 2]
    mask = torch.zeros(len(joints), *size, dtype=torch.bool, device=joints.device)
    for joint in Joint:
        place = joints[:, joint, None, None]
        disc = (pixels - place[..., :2]).square().sum(dim=-1) < half_width_px**2
        mask |= disc & (place[..., 2] > 0)
    for start, end in MASK_LIMBS:
        a, b = joints[:, start, None, None], joints[:, end, None, None]
        along = b[..., :2] - a[..., :2]
        length = along.square().sum(dim=-1).sqrt().clamp(min=1e-6)
        offset = pixels - a[..., :2]
        forward = (offset * along).sum(dim=-1) / length
        aside = (offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]) / length
        band = (forward >= 0) & (forward <= length) & (aside.abs() <= half_width_px)
        mask |= band & (a[..., 2] > 0) & (b[..., 2] > 0)
    dilated = F.max_pool2d(mask[:, None].float(), 5, stride=1, padding=2)
    return -F.max_pool2d(-dilated, 5, stride=1, padding=2)


def torso_length(joints: Tensor) -> Tensor:
    """Root mean square over the complete sides, [b]; else half the longer side of the box round all joints."""
    places, visible = joints[..., :2], joints[..., 2] > 0
    hips, shoulders = ([side[end] for side in SIDES] for end in (0, 1))
    complete = visible[:, hips] & visible[:, shoulders]
    squares = (places[:, hips] - places[:, shoulders]).square().sum(dim=-1) * complete
    far = torch.finfo(joints.dtype).max
    low = places.masked_fill(~visible[..., None], far).amin(dim=1)
    high = places.masked_fill(~visible[..., None], -far).amax(dim=1)
    half_extent = (high - low).amax(dim=-1).clamp(min=0) / 2
    return torch.where(complete.any(dim=1), (squares.sum(dim=1) / complete.sum(dim=1).clamp(min=1)).sqrt(), half_extent)


def _head_box(joints: Tensor, size: tuple[int, int]) -> Tensor:
    """Left, top, right, bottom in px, ends excluded, clipped; zeros when no head joint is visible: [b 4]."""
    head = joints[:, list(HEAD_JOINTS)]
    visible = (head[..., 2:] > 0).to(joints.dtype)
    count = visible.sum(dim=1)
    centre = ((head[..., :2] * visible).sum(dim=1) / count.clamp(min=1)).trunc()
    radius = (HEAD_RADIUS * torso_length(joints)).trunc()[:, None]
    low, high = (centre - radius).clamp(min=0), centre + radius
    high = torch.stack([high[:, 0].clamp(max=size[1]), high[:, 1].clamp(max=size[0])], dim=-1)
    return torch.cat([low, high], dim=-1) * (count > 0)


@cache
def _limb_table(device: torch.device) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Upper joints, lower joints, mirror limbs, and the lower ends' extensions by purpose, in limb order."""
    names = [limb.name for limb in LIMBS]
    extensions = {
        "mask": [limb.mask_extension for limb in LIMBS],
        "fit": [limb.fit_extension for limb in LIMBS],
    }
    return (
        torch.tensor([limb.upper for limb in LIMBS], device=device),
        torch.tensor([limb.lower for limb in LIMBS], device=device),
        torch.tensor([names.index(limb.mirror) for limb in LIMBS], device=device),
        {key: torch.tensor(value, dtype=torch.float64, device=device) for key, value in extensions.items()},
    )


def _limbs(joints: Tensor, purpose: str) -> tuple[Tensor, Tensor]:
    """Corners [b 8 4 2] of every limb's quadrilateral, and whether both its joints are visible [b 8]."""
    upper, lower, _, extensions = _limb_table(joints.device)
    a, b = joints[:, upper, :2], joints[:, lower, :2]
    start = a + LIMB_START * (a - b)
    end = b + extensions[purpose][:, None] * (b - start)
    along = start - end
    length = along.square().sum(dim=-1, keepdim=True).sqrt()
    normal = torch.stack([-along[..., 1], along[..., 0]], dim=-1) / length.clamp(min=1e-12)
    half = LIMB_RADIUS * torso_length(joints)[:, None, None] * normal
    half = torch.where(length > 0, half, 1.0)  # a limb seen end on
    corners = torch.stack([start + half, start - half, end - half, end + half], dim=-2)
    return corners, (joints[:, upper, 2] > 0) & (joints[:, lower, 2] > 0)


def _point_pairs(target: Tensor, source: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Points to fit per part, padded to one length: target and source [b 10 m 2], used [b 10 m]."""
    both = (target[..., 2] > 0) & (source[..., 2] > 0)
    torso, head = list(TORSO_JOINTS), [*HEAD_JOINTS, *SHOULDERS]
    head_seen = both[:, head] & both[:, list(HEAD_JOINTS)].any(dim=1, keepdim=True)
    target_corners, target_seen = _limbs(target, "fit")
    source_corners, source_seen = _limbs(source, "fit")
    mirror = _limb_table(source.device)[2]
    source_corners = torch.where(source_seen[..., None, None], source_corners, source_corners[:, mirror])
    limb_seen = target_seen & (source_seen | source_seen[:, mirror])
    padding = len(head) - 4

    def parts(joints: Tensor, corners: Tensor) -> Tensor:
        body = F.pad(joints[:, None, torso, :2], (0, 0, 0, padding))
        return torch.cat([body, joints[:, None, head, :2], F.pad(corners, (0, 0, 0, padding))], dim=1)

    limb_used = limb_seen[..., None].expand(-1, -1, 4)
    used = torch.cat(
        [F.pad(both[:, None, torso], (0, padding)), head_seen[:, None], F.pad(limb_used, (0, padding))], dim=1
    )
    return (parts(target, target_corners), parts(source, source_corners)), used


def _no_part(identity: Tensor, size: tuple[int, int]) -> Tensor:
    """The map that moves every pixel of the picture out of it."""
    away = torch.zeros_like(identity)
    away[..., 2] = max(NO_PART_PX, 2.0 * max(size))
    return identity + away
