"""The order in which a split is read, as a function of seed and position alone.

Position 0 is the first source of a run, and positions go on without end. An epoch is all samples in one permutation:
its shards in a new order, and within that the samples of every `shuffle_buffer` places mixed, so that what is read one
after the other lies in few shards. The target of a source is the sample one batch further on in the same epoch, which
wraps; so every sample of an epoch is source once and target once, never of itself.

Nothing here knows how many ranks there are: a batch is the same however it is divided.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64


class Place(NamedTuple):
    """A sample by its number in the split's files, and whether it is mirrored."""

    number: int
    mirrored: bool


class Epoch(NamedTuple):
    """Samples by place, and who is mirrored, by number."""

    numbers: Int64[np.ndarray, "samples"]
    mirrored: Bool[np.ndarray, "samples"]


class Order:
    """Sources and targets by position; `shards` are the shards' numbers of samples, two or more in all."""

    def __init__(self, shards: Sequence[int], *, batch: int, seed: int, shuffle_buffer: int, flip: bool):
        self.samples = sum(shards)
        self.batch = batch
        self._shards = np.split(np.arange(self.samples), np.cumsum(shards)[:-1])
        self._seed, self._buffer, self._flip = seed, shuffle_buffer, flip
        self._ahead = batch % self.samples or 1  # from a source to its target, within the epoch
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)  # two meet within a batch

    def sources(self, start: int, count: int) -> list[Place]:
        """The sources at `count` positions from `start` on."""
        return [self._place(position, 0) for position in range(start, start + count)]

    def targets(self, start: int, count: int) -> list[Place]:
        """Their targets: mostly the sources one batch further on."""
        return [self._place(position, self._ahead) for position in range(start, start + count)]

    def _place(self, position: int, ahead: int) -> Place:
        number, index = divmod(position, self.samples)
        epoch = self._epoch(number)
        sample = int(epoch.numbers[(index + ahead) % self.samples])
        return Place(sample, bool(epoch.mirrored[sample]))

    def _draw_epoch(self, number: int) -> Epoch:
        rng = np.random.default_rng((self._seed, number))
        shards = [self._shards[shard] for shard in rng.permutation(len(self._shards))]
        numbers = np.concatenate(shards)
        for start in range(0, self.samples, max(1, self._buffer)):
            rng.shuffle(numbers[start : start + max(1, self._buffer)])
        mirrored = rng.random(self.samples) < 0.5
        return Epoch(numbers, mirrored & self._flip)
