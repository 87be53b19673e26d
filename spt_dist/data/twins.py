"""True targets: the other picture of each training person, for training that may see it.

Unpaired training never does. The ceiling that it is measured against (`data.true_targets`) learns from the split
`twin`, which holds a second picture of every person of `train`.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from spt_dist.data.importers import TWINS
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import Batch, DataError, Pairs, Sample, collate, decode, encode


class Twins:
    """Every person's other picture in memory, compressed (about 3 kB each at 64x48)."""

    def __init__(self, train: Iterable[Sample], twins: Iterable[Sample]) -> None:
        others = {sample.identity: encode(sample) for sample in twins if sample.identity}
        self._twins: dict[str, dict[str, bytes]] = {}
        self._joints: dict[str, Tensor] = {}
        for sample in train:
            if sample.identity not in others:
                raise DataError(
                    f"`{sample.id}` has no picture of its identity in the split `{TWINS}`; draw people with --twins, "
                    "or train without data.true_targets"
                )
            self._twins[sample.id] = others[sample.identity]
            self._joints[sample.id] = torch.from_numpy(sample.joints)

    @classmethod
    def from_shards(cls, shards: Path | str) -> "Twins":
        """Read both splits once; `DataError` when one is missing, damaged or incomplete."""
        return cls(read_split(shards, "train"), read_split(shards, TWINS))

    def pair(self, source: Batch) -> Pairs:
        """Each source with its twin, mirrored where the source is."""
        twins = collate([decode(self._twins[name]) for name in source.ids])
        own = torch.stack([self._joints[name] for name in source.ids])
        mirrored = ~torch.isclose(source.joints.cpu(), own, atol=1e-3).flatten(1).all(1)
        return Pairs(source, twins.flip(mirrored).to(source.images.device))
