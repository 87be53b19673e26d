"""Copies: pictures that are in the data twice, re-encoded or resized, perhaps annotated anew.

Two pictures are copies when they look alike (`likeness`, of the photo as it is read) and the people in them stand
alike: their joints lie, in the mean, within `SAME_POSE` of the picture's height. Looks alone will not do: small drawn
people in front of plain walls look alike by the hundred. Pictures that are said to show different people are believed.

One of several copies stays: that of the later split in `KEEPERS`, since a training picture that is in the test set is a
leak, then the one of the least id. A copy of a copy counts as one of the picture that stays only if it is as near.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from spt_dist.data.likeness import near
from spt_dist.data.packing.blocks import PLACES, Entry

KEEPERS = ("test", "val")  # then all other splits
SAME_POSE = 0.0125  # of the height: seven true copies annotated apart lie within 0.0117, the nearest strangers 0.0130


class Copy(NamedTuple):
    """The sample at place `of` stays, the one at `copy` does not."""

    copy: int
    of: int


def candidates(looks: UInt64[np.ndarray, "n"], ranks: list[tuple[int, str, str]]) -> Int64[np.ndarray, "pairs 2"]:
    """The pairs of places that look alike; of those that look the same, all with the one of the least rank alone."""
    order = np.array(sorted(range(len(looks)), key=ranks.__getitem__), np.int64)
    return order[near(looks[order])]


def choose(pairs: list[tuple[int, int]], entries: dict[int, Entry]) -> list[Copy]:
    """Which of the alike are left out, and for whom, in order of their places."""
    others: dict[int, list[int]] = {}
    for one, other in pairs:
        if same(entries[one], entries[other]):
            others.setdefault(one, []).append(other)
            others.setdefault(other, []).append(one)
    ranks = {place: rank(entries[place].split, entries[place].id) for place in others}
    out: dict[int, int] = {}
    for place in sorted(others, key=ranks.__getitem__):
        if place not in out:
            out |= {other: place for other in others[place] if ranks[other] > ranks[place] and other not in out}
    return [Copy(copy, out[copy]) for copy in sorted(out)]


def rank(split: str, name: str) -> tuple[int, str, str]:
    """Who stays: the least."""
    return KEEPERS.index(split) if split in KEEPERS else len(KEEPERS), name, split


def same(one: Entry, other: Entry) -> bool:
    """Do two people stand alike, and may they be one?"""
    if one.identity and other.identity and one.identity != other.identity:
        return False
    first, second = (np.array(entry.joints, np.int64).reshape(-1, 2) for entry in (one, other))
    both = (first >= 0).all(1) & (second >= 0).all(1)
    apart = np.linalg.norm(first[both] - second[both], axis=1)
    return bool(both.any()) and float(apart.mean()) <= SAME_POSE * PLACES
