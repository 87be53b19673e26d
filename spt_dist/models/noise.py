"""2-d dropout of a batch that several processes share.

Whether a sample's channel is dropped is a function of the run's seed, of how far it is, of the network that is trained,
and of the sample's row in the whole batch: not of who computes that row, and in how many parts. So the numbers of a run
do not depend on the number of workers, and no random state is in a checkpoint.
"""

from collections.abc import Iterator
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

    def keep(self, samples: int, channels: int, rate: float) -> Float[Tensor, "b c"]:
        """1 where a channel stays; `samples` are the rows, once or several times one after the other."""
        seed = np.random.SeedSequence((*self.key, next(self.calls))).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        times, rest = divmod(samples, self.rows.number)
        assert not rest, f"{samples} samples are not {self.rows.number} rows several times"
        drawn = torch.rand(times, self.rows.batch, channels, generator=generator) >= rate
        return drawn[:, self.rows.first : self.rows.first + self.rows.number].reshape(samples, channels).float()


_current: ContextVar[_Noise | None] = ContextVar("noise", default=None)


@contextmanager
def noise_of(rows: Rows | None, purpose: str) -> Iterator[None]:
    """Within, `drop_channels` follows the rows' key and `purpose`; without rows torch's own random numbers."""
    token = _current.set(_Noise(rows, purpose) if rows else None)
    try:
        yield
    finally:
        _current.reset(token)


def drop_channels(x: Float[Tensor, "b c h w"], rate: float) -> Float[Tensor, "b c h w"]:
    """Zero each sample's channels with probability `rate`, and scale the others by 1 / (1 - rate)."""
    noise = _current.get()
    if noise is None:
        return dropout2d(x, rate)
    keep = noise.keep(x.shape[0], x.shape[1], rate) / (1 - rate)
    return x * keep.to(x)[:, :, None, None]
