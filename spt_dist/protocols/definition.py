"""What a protocol is made of: pictures to score, numbers with intervals, definitions in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from spt_dist.types import ImageBytes, Joints

if TYPE_CHECKING:
    from spt_dist.protocols.judges import Judges

RESAMPLES, LEVEL, SEED = 1_000, 0.95, 0


class UndefinedError(ValueError):
    """A definition has no meaning for these pictures; the message says why."""


class Case(NamedTuple):
    """What is scored: pictures, those they should be, and the joints of the latter."""

    images: ImageBytes
    truth: ImageBytes
    joints: Joints


class Statistic(NamedTuple):
    """A number of `n` pictures that any resample of them gives too.

    `of` takes the pictures' places. `repeats_matter`: a picture that comes twice moves the number away (a set of fewer
    different pictures has another distribution), so that resamples scatter round another value than that of all.
    """

    n: int
    of: Callable[[Tensor], float]
    against: str
    origin: str = ""  # of the network's file
    repeats_matter: bool = False


class Interval(NamedTuple):
    """A number and where it lies when the pictures are drawn again."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(
    statistic: Statistic, resamples: int = RESAMPLES, progress: Callable[[int], None] = lambda done: None
) -> Interval:
    """The bootstrap's percentile interval, seeded; moved back by the resamples' own bias where repeats matter.

    `progress(done)` is called after each resample.
    """
    generator = torch.Generator().manual_seed(SEED)
    value = statistic.of(torch.arange(statistic.n))
    numbers = []
    for done in range(1, resamples + 1):
        numbers.append(statistic.of(torch.randint(statistic.n, (statistic.n,), generator=generator)))
        progress(done)
    drawn = torch.tensor(numbers, dtype=torch.float64)
    if statistic.repeats_matter:
        drawn += value - drawn.nanmean()
    tail = (1 - LEVEL) / 2
    low, high = drawn.nanquantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(value, low, high)


@dataclass(frozen=True)
class Definition:
    """A metric of one protocol: what is computed, in words and as a function.

    `needs` names the file in `evaluation` without which it cannot be computed. What is computed `by_pair` is scored for
    the baselines too; anything else for the real pictures, which are not perfect by definition.
    """

    name: str
    words: str
    better: str
    compute: Callable[[Case, "Judges"], Statistic]
    needs: str = ""
    by_pair: bool = True


@dataclass(frozen=True)
class Protocol:
    """A lineage's metrics. `source` says what the definitions were read in, `doubt` what is unconfirmed."""

    name: str
    lineage: str
    source: str
    doubt: str
    metrics: tuple[Definition, ...]
