"""The ledger: what is remembered of all samples while they lie in their blocks, about 200 bytes of each.

Places count the entries of all blocks in the order of reading, the rejected ones too.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from sys import intern

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt64

from spt_dist.body import Joint, Label
from spt_dist.data.importers import Unreadable
from spt_dist.data.packing.blocks import Entry, How, read_entries
from spt_dist.data.packing.copies import candidates, choose, rank
from spt_dist.data.schema import KEYS
from spt_dist.data.storage import Storage


@dataclass(frozen=True)
class Ledger:
    """All samples by place: where their bytes lie and what is in them; `rejected` are the places that give none.

    `copied` are those of them that show a picture that is there already, `leaks` counts those whose other picture is in
    another split.
    """

    ids: list[str]
    splits: list[str]
    block: Int32[np.ndarray, "n"]
    offset: Int64[np.ndarray, "n"]
    sizes: Int64[np.ndarray, "n files"]
    label_pixels: Int32[np.ndarray, "n labels"]
    visible: Int32[np.ndarray, "n"]
    rejected: dict[int, Unreadable]
    copied: frozenset[int] = frozenset()
    leaks: int = 0

    @property
    def copies(self) -> int:
        """How many copies were left out."""
        return len(self.copied)

    def places(self, split: str) -> Int64[np.ndarray, "m"]:
        """The places of a split's samples, in the order of reading."""
        wanted = (at for at, name in enumerate(self.splits) if name == split and at not in self.rejected)
        return np.fromiter(wanted, np.int64)

    def joint_visibility(self, places: Int64[np.ndarray, "m"]) -> dict[str, float]:
        """The share of these samples that show each joint."""
        seen = [(self.visible[places] >> joint & 1).sum() for joint in Joint]
        return {joint.name: round(float(seen[joint] / len(places)), 6) for joint in Joint}

    def label_fractions(self, places: Int64[np.ndarray, "m"]) -> dict[str, float]:
        """The share of these samples' pixels that have each label."""
        pixels = self.label_pixels[places].sum(0)
        return {label.name: round(float(pixels[label] / pixels.sum()), 6) for label in Label}


def read_ledger(work: Storage, blocks: int, how: How) -> Ledger:
    """What the first `blocks` blocks hold; ids that occur twice are rejected, and copies where `how` looks for them."""
    ids, splits, rejected = [], [], {}
    columns: list[list[np.ndarray]] = []
    looks: list[np.ndarray] = []
    seen: defaultdict[str, set[str]] = defaultdict(set)  # ids by split
    for number in range(blocks):
        entries = read_entries(work, number)
        for place, entry in enumerate(entries, start=len(ids)):
            reason = entry.reason
            if reason is None and entry.id in seen[entry.split]:
                reason = f"the id `{entry.id}` occurs twice in `{entry.split}`"
            if reason is not None:
                rejected[place] = Unreadable(entry.id, reason, entry.split, entry.source)
            else:
                seen[entry.split].add(entry.id)
        ids += [entry.id for entry in entries]
        splits += [intern(entry.split) for entry in entries]
        columns.append(_columns(number, entries))
        looks.append(np.array([entry.likeness for entry in entries], np.uint64))
    if not columns:
        columns.append(_columns(0, []))
    block, offset, sizes, pixels, visible = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    ledger = Ledger(ids, splits, block, offset, sizes, pixels, visible, rejected)
    return _without_copies(ledger, np.concatenate(looks), work) if how.look and ids else ledger


def _columns(number: int, entries: list[Entry]) -> list[np.ndarray]:
    """A block's part of the ledger's arrays."""
    sizes = np.array([entry.sizes or (0,) * len(KEYS) for entry in entries], np.int64).reshape(-1, len(KEYS))
    ends = np.cumsum(sizes.sum(1))
    return [
        np.full(len(entries), number, np.int32),
        ends - sizes.sum(1),
        sizes,
        np.array([entry.label_pixels or (0,) * len(Label) for entry in entries], np.int32).reshape(-1, len(Label)),
        np.array([entry.visible for entry in entries], np.int32),
    ]


def _without_copies(ledger: Ledger, looks: UInt64[np.ndarray, "n"], work: Storage) -> Ledger:
    """The same, copies rejected as well."""
    whole: Bool[np.ndarray, "n"] = np.ones(len(looks), bool)
    whole[list(ledger.rejected)] = False
    kept = np.flatnonzero(whole)
    ranks = [rank(ledger.splits[place], ledger.ids[place]) for place in kept.tolist()]
    pairs = kept[candidates(looks[kept], ranks)]
    entries: dict[int, Entry] = {}
    start = np.searchsorted(ledger.block, np.arange(ledger.block[-1] + 1))
    for number, alike in groupby(np.unique(pairs).tolist(), key=lambda place: int(ledger.block[place])):
        read = read_entries(work, number)
        entries |= {place: read[place - int(start[number])] for place in alike}
    found, leaks = choose([(one, other) for one, other in pairs.tolist()], entries), 0
    for copy, of in found:
        entry, stays = entries[copy], entries[of]
        leaks += entry.split != stays.split
        where = "" if entry.split == stays.split else f" of `{stays.split}`"
        reason = f"near-duplicate of `{stays.id}`{where}"
        ledger.rejected[copy] = Unreadable(entry.id, reason, entry.split, entry.source)
    return Ledger(**{**vars(ledger), "copied": frozenset(each.copy for each in found), "leaks": leaks})
