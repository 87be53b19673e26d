"""Pictures that look alike, and what is in two splits at once.

Candidates are found by 64 bits of how a picture looks (`data.likeness`), and kept where 16 x 16 px of both agree as
well: people on plain ground in one pose share many bits, though not their colours. Splits overlap where the same
file, id, identity or look is in two of them. `train` and `twin` are one side: both are learned from.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from spt_dist.data.importers import TWINS
from spt_dist.data.likeness import bits_apart, near
from spt_dist.data_report.facts import Facts

LOOK_BITS = 10  # that may differ; five of six copies among 997 photos, cut to the person, are within both limits,
AGREEMENT = 0.95  # from 0.964 on; no two strangers among these (0.842) and 2,400 drawn people (0.910)
LEARNED = ("train", TWINS)
AT_ONCE = 4096  # pairs compared together


class Pair(NamedTuple):
    """Two rows whose pictures look alike: differing bits, and how far their thumbs agree, 1 for copies."""

    one: int
    other: int
    bits: int
    agreement: float


def alike(facts: Facts) -> list[Pair]:
    """All such pairs, those across splits first, the most alike first; of many copies each is paired with the first."""
    pairs = near(facts.likeness, LOOK_BITS)
    found = []
    for start in range(0, len(pairs), AT_ONCE):
        some = pairs[start : start + AT_ONCE]
        agreements = (_standard(facts.thumbs[some[:, 0]]) * _standard(facts.thumbs[some[:, 1]])).sum(1)
        for (i, j), agreement in zip(some.tolist(), agreements.tolist(), strict=True):
            if facts.digests[i] == facts.digests[j] or agreement >= AGREEMENT:
                bits = bits_apart(int(facts.likeness[i]), int(facts.likeness[j]))
                found.append(Pair(i, j, bits, round(agreement, 4)))
    return sorted(found, key=lambda pair: (not across(facts, pair), -pair.agreement, pair.bits, pair.one, pair.other))


def _standard(thumbs: UInt8[np.ndarray, "n t t 3"]) -> Float64[np.ndarray, "n d"]:
    """Thumbs less their mean colour, of length 1: brighter and paler copies agree; a single colour gives 0."""
    own = thumbs.astype(np.float64)
    own = (own - own.mean((1, 2), keepdims=True)).reshape(len(own), -1)
    return own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-9)


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
                "agreement": pair.agreement,
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
