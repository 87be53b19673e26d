"""The paper's criterion: how badly does a candidate's parsing map fit the source's, after each part is aligned?

    E(s, c) = sum_j || B_j(p) * S - f_j(B_j(p_s) * S_s) ||^2

`S_s`, `p_s` are the source's map and pose, `S`, `p` the candidate's; `B_j` masks rigid part j (`body.WARP_PARTS`; the
part `body` is the whole picture) and `f_j` is the affine map that carries the source's part j onto the candidate's.
Maps are one-hot over the foreground labels; background is zero, as is what lies outside a picture. So a pixel costs 1
where only one of the two has something, 2 where they have different things.

`f_j` carries mask and map together, `f_j(B S) = f_j(B) f_j(S)`: the source's quadrilateral goes through the affine map,
and the op `part_warp` samples the map inside it. The paper does not say what a part costs that only one of the
two shows: here, whatever it covers, else the emptiest candidate would win. A part without a fit costs both.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from spt_kernels import part_warp
from torch import Tensor

from spt_dist.body import FOREGROUND_LABELS, PART_INDEX, WARP_PARTS
from spt_dist.geometry import NO_PART_PX, frame_quads, part_masks, part_quads, part_transforms
from spt_dist.types import Joints, Transforms

FLAT = 1e-4  # a map that shrinks areas below this squeezes the part into a line
DECIMALS = 3  # of a score; the last bits of a float32 depend on the machine


class Figures(NamedTuple):
    """People as the criterion sees them: label maps, and joints in px of those maps."""

    labels: UInt8[Tensor, "b rows columns"]
    joints: Joints

    def take(self, rows: Tensor) -> "Figures":
        """Some of them, in the order of `rows`."""
        return Figures(self.labels[rows], self.joints[rows])


@torch.no_grad()
def mismatch(source: Figures, candidate: Figures) -> Float[Tensor, "b"]:
    """E(s, c) in px of the maps, for pair after pair of sources and candidates of one size, in float64."""
    height, width = source.labels.shape[1:]
    size = (height, width)
    source_quads, quads = part_quads(source.joints, size), part_quads(candidate.joints, size)
    transforms = part_transforms(candidate.joints.double(), source.joints.double(), size)
    inverse, exists = _inverse(transforms)
    aligned = exists & source_quads.isfinite().all(-1).all(-1) & quads.isfinite().all(-1).all(-1)
    carried = source_quads @ inverse[..., :2].mT + inverse[..., None, :, 2]
    carried[:, PART_INDEX["body"]] = frame_quads(source.joints, size)[:, 0]
    carried[~aligned] = torch.nan  # the op draws nothing there
    moved = part_warp(
        one_hot(source.labels).repeat_interleave(len(WARP_PARTS), dim=0),
        _spelled_for_op(transforms, size).flatten(0, 1)[:, None].float(),
        carried.flatten(0, 1)[:, None],
        size,
    ).unflatten(0, aligned.shape)
    own = part_masks(candidate.joints, size)[:, :, None] * one_hot(candidate.labels)[:, None]
    total = (own - moved).square_().flatten(1).sum(1, dtype=torch.float64)
    lost = part_masks(source.joints, size) & (source.labels > 0)[:, None] & ~aligned[..., None, None]
    return (total + lost.flatten(1).sum(1)).round(decimals=DECIMALS)


def one_hot(labels: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b 9 h w"]:
    """One plane per foreground label."""
    kinds = torch.tensor(FOREGROUND_LABELS, dtype=torch.uint8, device=labels.device)
    return (labels[:, None] == kinds[:, None, None]).float()


def _inverse(transforms: Transforms) -> tuple[Transforms, Tensor]:
    """The maps from source to candidate px, and which parts have one [b p]."""
    (a, b), (c, d) = (row.unbind(-1) for row in transforms[..., :2].unbind(-2))
    determinant = a * d - b * c
    exists = (determinant.abs() > FLAT) & (transforms[..., 2].amin(-1) < NO_PART_PX)
    divisor = torch.where(exists, determinant, 1.0)
    linear = torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2)) / divisor[..., None, None]
    return torch.cat([linear, -(linear @ transforms[..., 2:])], dim=-1), exists


def _spelled_for_op(transforms: Transforms, size: tuple[int, int]) -> Transforms:
    """The same maps with longer offsets: the op keeps the published reading, (w - 1) / w of an offset."""
    length = torch.tensor([size[1], size[0]], dtype=transforms.dtype, device=transforms.device)
    longer = transforms[..., 2] * length / (length - 1).clamp(min=1)
    return torch.cat([transforms[..., :2], longer[..., None]], dim=-1)
