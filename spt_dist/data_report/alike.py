"""Pictures that look alike, and what is in two splits at once.

Candidates are found by 64 bits of how a picture looks (`data.likeness`), and kept where 16 x 16 px of both agree as
well: people on plain ground in one pose share their bits, though not their colours. Splits overlap where the same
file, id, identity or look is in two of them. `train` and `twin` are one side: both are learned from.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from spt_dist.data.importers import TWINS
from spt_dist.data.likeness import ALIKE_BITS, bits_apart, near
from spt_dist.data_report.facts import Facts

ALIKE_LEVELS = 12.0  # of 255, mean over the thumbs: of 997 photos copies are 6 to 12, of 2,400 drawn strangers 13
LEARNED = ("train", TWINS)
AT_ONCE = 4096  # pairs compared together


class Pair(NamedTuple):
    """Two rows whose pictures look alike: differing bits, and the mean difference of their thumbs (0..255)."""

    one: int
    other: int
    bits: int
    difference: float


def alike(facts: Facts) -> list[Pair]:
    """All such pairs, those across splits first, the most alike first; of many copies each is paired with the first."""
    pairs = near(facts.likeness, ALIKE_BITS)
    found = []
    for start in range(0, len(pairs), AT_ONCE):
        some = pairs[start : start + AT_ONCE]
        one, other = (facts.thumbs[some[:, side]].astype(np.int16) for side in (0, 1))
        differences = np.abs(one - other).mean((1, 2, 3))
        for (i, j), difference in zip(some.tolist(), differences.tolist(), strict=True):
            if difference <= ALIKE_LEVELS:
                bits = bits_apart(int(facts.likeness[i]), int(facts.likeness[j]))
                found.append(Pair(i, j, bits, round(difference, 2)))
    return sorted(found, key=lambda pair: (not across(facts, pair), pair.difference, pair.bits, pair.one, pair.other))


def across(facts: Facts, pair: Pair) -> bool:
    """Whether one of the two is learned from (or chosen by) and the other one tests."""
    return side(facts.split_of(pair.one)) != side(facts.split_of(pair.other))


def side(split: str) -> str:
    """The splits that are learned from are one side, any other is its own."""
    return LEARNED[0] if split in LEARNED else split


def alike_tree(facts: Facts, pairs: Sequence[Pair], listed: int) -> dict[str, Any]:
    """The pairs as the numbers behind the page."""
    rows = {row for pair in pairs for row in (pair.one, pair.other)}
    unknown = [p for p in pairs if not facts.identities[p.one] or facts.identities[p.one] != facts.identities[p.other]]
    strangers = {row for pair in unknown for row in (pair.one, pair.other)}
    return {
        "pairs": len(pairs),
        "across_splits": sum(across(facts, pair) for pair in pairs),
        "samples": {split: sum(facts.split_of(row) == split for row in rows) for split in facts.splits},
        "not_known_as_one": {split: sum(facts.split_of(row) == split for row in strangers) for split in facts.splits},
        "listed": [
            {
                "one": facts.name(pair.one),
                "other": facts.name(pair.other),
                "bits": pair.bits,
                "difference": pair.difference,
                "same_file": facts.digests[pair.one] == facts.digests[pair.other],
            }
            for pair in pairs[:listed]
        ],
    }


def overlaps(facts: Facts, pairs: Iterable[Pair], listed: int) -> dict[str, dict[str, Any]]:
    """What is in more than one split, by what it shares: how often, and the first by name."""
    shared = {
        "files": _shared(facts, facts.digests),
        "ids": _shared(facts, facts.ids),
        "identities": _shared(facts, facts.identities),
        "looks": [[pair.one, pair.other] for pair in pairs if across(facts, pair)],
    }
    return {
        what: {"count": len(groups), "listed": [[facts.name(row) for row in rows] for rows in groups[:listed]]}
        for what, groups in shared.items()
    }


def _shared(facts: Facts, values: Sequence[Hashable]) -> list[list[int]]:
    """Of each value that several sides have, the first row of each split."""
    places: dict[Hashable, dict[str, int]] = {}
    for row, value in enumerate(values):
        if value:
            places.setdefault(value, {}).setdefault(facts.split_of(row), row)
    return [list(rows.values()) for rows in places.values() if len({side(split) for split in rows}) > 1]
