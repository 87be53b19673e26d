"""2-d dropout: the noise that a generator learns with, and can draw with.

In training, whether a sample's channel is dropped is a function of the run's seed, of how far it is, of the network
that is trained, and of the sample's row in the whole batch: not of who computes that row, and in how many parts. So the
numbers of a run do not depend on the number of workers, and no random state is in a checkpoint.

A network that draws has none, unless a picture is asked for by a seed: then its noise is a function of that seed alone,
whichever pictures are drawn together with it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import dropout2d


class Rows(NamedTuple):
    """The rows of a batch that are computed here, and the key of the batch's noise."""

    key: tuple[int, ...]
    batch: int
    first: int
    number: int


class _Noise:
    """Masks one after the other: every call in a forward gets its own."""

    def __init__(self, rows: Rows, purpose: str):
        self.rows, self.key = rows, (*rows.key, int.from_bytes(purpose.encode()))
        self.calls = count()

    def factors(self, samples: int, channels: int, rate: float) -> Float[Tensor, "b c"]:
        """Of each channel; `samples` are the rows, once or several times one after the other."""
        seed = np.random.SeedSequence((*self.key, next(self.calls))).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        times, rest = divmod(samples, self.rows.number)
        assert not rest, f"{samples} samples are not {self.rows.number} rows several times"
        drawn = torch.rand(times, self.rows.batch, channels, generator=generator) >= rate
        kept = drawn[:, self.rows.first : self.rows.first + self.rows.number].reshape(samples, channels)
        return kept.float() / (1 - rate)


class Seeded:
    """The noise of pictures that are drawn: each one's follows its own seed, and one without a seed has none.

    It serves one pass through a network.
    """

    def __init__(self, seeds: Sequence[int | None]):
        self.seeds = seeds
        self.calls = count()

    def factors(self, samples: int, channels: int, rate: float) -> Float[Tensor, "b c"]:
        """Of each channel of each picture."""
        assert samples == len(self.seeds), f"{samples} samples for {len(self.seeds)} seeds"
        call = next(self.calls)
        return torch.stack([_row(seed, call, channels, rate) for seed in self.seeds])


def _row(seed: int | None, call: int, channels: int, rate: float) -> Float[Tensor, " c"]:
    if seed is None:
        return torch.ones(channels)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence((seed, call)).generate_state(1, np.uint64)[0]))
    return (torch.rand(channels, generator=generator) >= rate).float() / (1 - rate)


_current: ContextVar[_Noise | None] = ContextVar("noise", default=None)


@contextmanager
def noise_of(rows: Rows | None, purpose: str) -> Iterator[None]:
    """Within, `drop_channels` follows the rows' key and `purpose`; without rows torch's own random numbers."""
    token = _current.set(_Noise(rows, purpose) if rows else None)
    try:
        yield
    finally:
        _current.reset(token)


def drop_channels(x: Float[Tensor, "b c h w"], rate: float, seeded: Seeded | None = None) -> Float[Tensor, "b c h w"]:
    """Zero each sample's channels with probability `rate`, and scale the others by 1 / (1 - rate).

    By the seeds where they are given, else as `noise_of` says.
    """
    noise = seeded or _current.get()
    if noise is None:
        return dropout2d(x, rate)
    return x * noise.factors(x.shape[0], x.shape[1], rate).to(x)[:, :, None, None]
