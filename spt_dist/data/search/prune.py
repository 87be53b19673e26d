"""The first stage: all candidates against all sources in one matrix product, to choose whom the criterion is asked of.

The criterion compares what a part shows once it is aligned. Here every part is aligned once per person, not per
pair: its quadrilateral (for the body a box in torso lengths round the torso's centre) is cut into cells, and a cell
holds the share of each foreground label. With vectors `v` of all cells, weighted by the root of the cell's area,

    E(s, c) ~ scale(c) * |v(s) - v(c)|^2 = scale(c) * (|v(s)|^2 + |v(c)|^2 - 2 v(s) . v(c))

`scale(c)` is the root of the candidate's foreground in px, since the criterion counts the candidate's pixels; of five
such factors it ranks best. A part that is not seen is zero, and so costs what the other one shows. A mirror image is a
candidate by way of the mirrored source.

Vectors are whole numbers and poses multiples of 1/32 torso length, small enough that a float32 product is **exact**: no
block size, number of threads or order of summation can change what is found.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from spt_dist.body import WARP_PARTS
from spt_dist.data.pairs import Poses, distances, normalised, torso_frame
from spt_dist.data.schema import flip_joints, flip_labels
from spt_dist.data.search.criterion import Figures, one_hot
from spt_dist.data.search.people import People
from spt_dist.geometry import part_quads

POSE_STEPS = 32  # per torso length
FARTHEST = 8.0  # torso lengths that a joint can be away
SAMPLES = 2  # per cell and direction
CANDIDATES = 4096  # at a time
BODY_BOX = ((-1.5, -1.5), (1.5, -1.5), (1.5, 3.0), (-1.5, 3.0))  # torso lengths, round the torso's centre


class Cells(NamedTuple):
    """How a part is cut, and its usual area in torso lengths squared."""

    rows: int
    columns: int
    area: float

    @property
    def weight(self) -> float:
        """By which a cell's shares are multiplied."""
        return (self.area / (self.rows * self.columns)) ** 0.5


LIMB = Cells(4, 1, 0.36)
PART_CELLS = tuple({"body": Cells(9, 6, 13.5), "head": Cells(2, 2, 0.64)}.get(part.name, LIMB) for part in WARP_PARTS)
HEAVIEST = max(cells.weight for cells in PART_CELLS)
LEVELS = 255  # of a cell's value
assert 2 * sum(cells.rows * cells.columns for cells in PART_CELLS) * LEVELS**2 < 2**24, "products must stay exact"


class Described(NamedTuple):
    """People as the first stage sees them: vectors, the candidates' scale, poses."""

    vectors: UInt8[Tensor, "n d"]
    scale: Float[Tensor, "n"]
    poses: Poses


class Bucket(NamedTuple):
    """The candidates who wear one kind of clothes; `rows` and `same` find a sample's and an identity's."""

    people: People
    described: Described
    rows: dict[str, int]
    same: dict[str, list[int]]


def open_buckets(pool: People) -> dict[int, Bucket]:
    """The pool by kind of clothes, described."""
    kinds = sorted(set(pool.worn.tolist()))
    return {kind: _open(pool.take((pool.worn == kind).nonzero()[0].tolist())) for kind in kinds}


def _open(people: People) -> Bucket:
    parts = [describe(people.take(range(start, min(start + CANDIDATES, len(people.ids)))).figures())
             for start in range(0, len(people.ids), CANDIDATES)]  # fmt: skip
    poses = Poses(*(torch.cat(column) for column in zip(*(part.poses for part in parts), strict=True)))
    described = Described(torch.cat([part.vectors for part in parts]), torch.cat([part.scale for part in parts]), poses)
    same: dict[str, list[int]] = {}
    for row, identity in enumerate(people.identities):
        if identity:
            same.setdefault(identity, []).append(row)
    return Bucket(people, described, {name: row for row, name in enumerate(people.ids)}, same)


def mirror(figures: Figures) -> Figures:
    """The mirror images."""
    return Figures(flip_labels(figures.labels), flip_joints(figures.joints, figures.labels.shape[2]))


def describe(figures: Figures) -> Described:
    """Vectors of whole numbers, scales and snapped poses."""
    height, width = figures.labels.shape[1:]
    centre, length_px = torso_frame(figures.joints)
    body = torch.tensor(BODY_BOX) * length_px[:, None, None] + centre[:, None]
    quads = torch.cat([body[:, None], part_quads(figures.joints, (height, width))[:, 1:].float()], dim=1)
    planes, pieces = one_hot(figures.labels), []
    for index, cells in enumerate(PART_CELLS):
        shares = _shares(planes, quads[:, index], (cells.rows, cells.columns))
        pieces.append((shares * (cells.weight / HEAVIEST * LEVELS)).round().flatten(1))
    poses = normalised(figures.joints)
    xy = (poses.xy.clamp(-FARTHEST, FARTHEST) * POSE_STEPS).round() / POSE_STEPS
    scale = (figures.labels > 0).flatten(1).sum(1).float().sqrt()
    return Described(torch.cat(pieces, dim=1).to(torch.uint8), scale, Poses(xy, poses.visible))


def estimate(source: Described, there: Described) -> Float[Tensor, "b n"]:
    """What the criterion will be about, up to a factor; candidates in slices, so that few are float at once."""
    own = source.vectors.float()
    squares, pieces = own.square().sum(1, keepdim=True), []
    for vectors, scale in zip(there.vectors.split(CANDIDATES), there.scale.split(CANDIDATES), strict=True):
        candidates = vectors.float()
        pieces.append((squares + candidates.square().sum(1) - 2 * own @ candidates.T) * scale)
    return torch.cat(pieces, dim=1)


def pose_distances(source: Described, there: Described) -> Float[Tensor, "b n"]:
    """Mean squared distance per joint, in torso lengths."""
    return distances(source.poses, there.poses)


def strangers(sources: People, bucket: Bucket) -> Bool[Tensor, "b n"]:
    """Which candidates are neither the source itself nor the same person."""
    others = torch.ones(len(sources.ids), len(bucket.people.ids), dtype=torch.bool)
    for slot, (name, identity) in enumerate(zip(sources.ids, sources.identities, strict=True)):
        others[slot, [bucket.rows[name]] if name in bucket.rows else []] = False
        others[slot, bucket.same.get(identity, [])] = False
    return others


def _shares(planes: Tensor, quads: Tensor, cells: tuple[int, int]) -> Float[Tensor, "b 9 r c"]:
    """Shares of each label in the cells of a quadrilateral, whose corners go round; zero where there is none."""
    seen = quads.isfinite().all(-1).all(-1)
    corners = torch.where(seen[:, None, None], quads, 0.0)
    v, u = ((torch.arange(n * SAMPLES) + 0.5) / (n * SAMPLES) for n in cells)
    v, u = v[:, None, None], u[None, :, None]
    first, second, third, fourth = (corner[:, None, None] for corner in corners.unbind(1))
    xy = (1 - v) * ((1 - u) * first + u * second) + v * ((1 - u) * fourth + u * third)
    grid = (2 * xy + 1) / torch.tensor([planes.shape[3], planes.shape[2]]) - 1
    values = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(values, SAMPLES) * seen[:, None, None, None]
