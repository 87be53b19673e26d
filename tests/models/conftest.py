"""Two people on a small, non-square picture: blocks of labels, random colours, jittered poses."""

from typing import NamedTuple

import pytest
import torch

from spt_dist.body import Joint
from spt_dist.geometry import PartWarps, part_warps
from spt_dist.models.inputs import View, view

SIZE = (64, 48)
# A standing person, (x, y) px, in the order of `body.Joint`.
STANDING = (
    (24, 8), (24, 15), (17, 15), (14, 23), (12, 30), (31, 15), (34, 23), (36, 30), (20, 34),
    (19, 46), (19, 58), (28, 34), (29, 46), (29, 58), (26, 7), (22, 7), (28, 8), (20, 8),
)  # fmt: skip


class Pair(NamedTuple):
    source: View
    target: View
    warps: PartWarps


def make_pair(batch: int, seed: int, size: tuple[int, int] = SIZE) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    views = []
    for _ in range(2):
        images = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, generator=generator)
        blocks = torch.randint(0, 10, (batch, size[0] // 4, size[1] // 4), dtype=torch.uint8, generator=generator)
        labels = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
        jitter = torch.randn(batch, len(Joint), 2, generator=generator)
        joints = torch.cat([torch.tensor(STANDING).float() + jitter, torch.ones(batch, len(Joint), 1)], dim=2)
        views.append(view(images, labels, joints, sigma_px=3.0))
    source, target = views
    return Pair(source, target, part_warps(target.joints, source.joints, size))


@pytest.fixture
def pair() -> Pair:
    return make_pair(batch=2, seed=0)
