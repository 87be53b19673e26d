"""What the search keeps of everybody: about 1 kB a person, whatever the size of the pictures.

A map is reduced to `map_height_px` rows, each pixel the label that covers most of it; joints go along. In this size
the criterion is evaluated: 32 rows rank candidates nearly as 128 do (`tests/data/test_pair_criterion.py`) for a
twentieth of the time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch.nn import functional as F

from spt_dist.body import Label
from spt_dist.data.pairs import signatures
from spt_dist.data.schema import DataError, Sample
from spt_dist.data.search.criterion import Figures

VERSION = 1  # of the search: raise it with any change that finds other pairs


@dataclass(frozen=True)
class Settings:
    """What decides which pairs are found. `keep` candidates per source are compared exactly.

    `pool` bounds the candidates per kind of clothes (the same ones for everybody, drawn by `seed`). A pose differs
    clearly from `min_pose_distance` on: mean squared distance per joint, in torso lengths.
    """

    k: int = 5
    keep: int = 48
    pool: int = 32_768
    min_pose_distance: float = 0.1
    map_height_px: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.keep:
            raise DataError(f"`k` is {self.k} and `keep` is {self.keep}; they need 1 <= k <= keep")
        if self.pool < self.keep or self.map_height_px < 8 or self.min_pose_distance < 0:
            raise DataError(
                f"`pool` is {self.pool}, `map_height_px` {self.map_height_px}, `min_pose_distance` "
                f"{self.min_pose_distance}; they need to be at least `keep` ({self.keep}), 8 and 0"
            )

    def to_tree(self) -> dict[str, Any]:
        """The settings as JSON holds them, with the version of the search."""
        return {"version": VERSION, **asdict(self)}


class People(NamedTuple):
    """People in rows: who they are, joints in px of the reduced maps, the maps, and the clothes as bits.

    `identities` holds "" for somebody unknown: then nobody else is taken for the same person. Arrays are NumPy's, which
    travel between processes without a copy.
    """

    ids: list[str]
    identities: list[str]
    joints: Float32[np.ndarray, "n 18 3"]
    labels: UInt8[np.ndarray, "n h w"]
    worn: Int64[np.ndarray, "n"]

    def take(self, rows: Iterable[int]) -> "People":
        """Some of them, in the order of `rows`."""
        rows = list(rows)
        ids, identities = ([names[row] for row in rows] for names in (self.ids, self.identities))
        return People(ids, identities, self.joints[rows], self.labels[rows], self.worn[rows])

    def figures(self) -> Figures:
        """Their maps and joints as the criterion wants them."""
        return Figures(torch.tensor(self.labels), torch.tensor(self.joints))


def gather(samples: Iterable[Sample], map_height_px: int) -> People:
    """Reduce samples of one size; `DataError` where there is none, or sizes differ."""
    samples = list(samples)
    sizes = {sample.labels.shape for sample in samples}
    if len(sizes) != 1:
        raise DataError(f"the search needs samples of one size, found {len(samples)} of sizes {sorted(sizes)}")
    labels = torch.from_numpy(np.stack([sample.labels for sample in samples]))
    reduced, joints = [], []
    for start in range(0, len(samples), 256):
        part = slice(start, start + 256)
        figures = reduce(
            Figures(labels[part], torch.from_numpy(np.stack([one.joints for one in samples[part]]))), map_height_px
        )
        reduced.append(figures.labels)
        joints.append(figures.joints)
    return People(
        [sample.id for sample in samples],
        [sample.identity or "" for sample in samples],
        torch.cat(joints).numpy(),
        torch.cat(reduced).numpy(),
        signatures(labels).numpy(),
    )


def reduce(figures: Figures, height_px: int) -> Figures:
    """Maps of `height_px` rows and the same aspect, never enlarged: each pixel the label that covers most of it."""
    height, width = figures.labels.shape[1:]
    if height <= height_px:
        return figures
    size = (height_px, max(2, round(width * height_px / height)))
    planes = F.one_hot(figures.labels.long(), len(Label)).permute(0, 3, 1, 2).float()
    labels = F.interpolate(planes, size, mode="area").argmax(1).to(torch.uint8)
    scale = torch.tensor([size[1] / width, size[0] / height])
    xy, visible = figures.joints[..., :2], figures.joints[..., 2:]
    return Figures(labels, torch.cat([torch.where(visible > 0, (xy + 0.5) * scale - 0.5, xy), visible], dim=-1))


def join(groups: list[People]) -> People:
    """All of them, one group after another."""
    return People(
        [name for group in groups for name in group.ids],
        [name for group in groups for name in group.identities],
        np.concatenate([group.joints for group in groups]),
        np.concatenate([group.labels for group in groups]),
        np.concatenate([group.worn for group in groups]),
    )


def draw_pool(people: People, settings: Settings) -> People:
    """At most `pool` people per kind of clothes: those whose id has the least hash under `seed`, in its order.

    The pool of a union is the pool of its parts' pools, so shards are taken one by one and memory stays bounded.
    """
    order = sorted(range(len(people.ids)), key=lambda row: _lot(people.ids[row], settings.seed))
    worn = people.worn[order]
    return join(
        [people.take([order[i] for i in np.flatnonzero(worn == kind)[: settings.pool]]) for kind in np.unique(worn)]
    )


def _lot(name: str, seed: int) -> bytes:
    """A sample's lot in the draw: a hash, with the id behind it for the one clash in 2^64."""
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest() + name.encode()
