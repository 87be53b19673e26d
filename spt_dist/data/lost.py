"""Samples that cannot be read any more: counted, named, and stood in for, up to a limit.

Shards are whole when a run starts (`Manifest.split`); later a file may vanish, be truncated or be swapped. A lost shard
loses all of its samples at once. Above `data.max_lost` of the split the run stops with the list; one sample is always
forgiven. What is lost stays lost until the run starts again.

The place of lost sample `n` of `N` is taken by `(n + stride) mod N`, and if that is lost too by the next so, where
`stride` follows from `N` alone. So the order stays a function of seed and position: the same on every rank and in every
run that has lost the same samples. Neighbours in a lost shard are stood in for by different samples, each once.
"""

from collections.abc import Callable
from math import gcd
from typing import Any, TypeVar

from spt_dist.data.files import Files, ShardError
from spt_dist.data.plan import Plan
from spt_dist.data.schema import DataError

SHOWN = 10
GOLDEN = 0.618  # of the split: far from home, and from where the stand-ins of near shards come from

Content = TypeVar("Content")


class Readable:
    """The samples of a rank's split by number, or those that stand in for them."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._files = plan, Files(plan.manifest, plan.split)
        self._stride, self._limit = stride(plan.samples), max(1, int(plan.max_lost * plan.samples))
        self._lost: set[int] = set()
        self._reasons: list[str] = []

    def read(self, number: int, use: Callable[[dict[str, Any]], Content]) -> Content:
        """What `use` makes of the sample's files, or of its stand-in's where they, or `use`, raise `DataError`.

        Raises:
            DataError: more samples than the limit are lost; the message lists them.
        """
        for _ in range(self._plan.samples):
            if number not in self._lost:
                try:
                    return use(self._files.read(number))
                except ShardError as error:
                    self._lose(error.numbers, str(error))
                except DataError as error:
                    self._lose(range(number, number + 1), f"{self._files.name(number)}: {error}")
            number = (number + self._stride) % self._plan.samples
        raise DataError(
            f"`{self._plan.manifest.folder}` has no readable sample in `{self._plan.split}`:\n{self._list()}"
        )

    def _lose(self, numbers: range, reason: str) -> None:
        self._lost.update(numbers)
        self._reasons.append(f"{len(numbers)} x {reason}" if len(numbers) > 1 else reason)
        what = f"lost {len(self._lost)} of {self._plan.samples} samples of `{self._plan.split}`"
        if len(self._lost) > self._limit:
            raise DataError(f"{what}, {self._limit} may be; mend the shards, or raise `data.max_lost`:\n{self._list()}")
        self._plan.tell(f"{what}, {self._limit} may be; others stand in: {self._reasons[-1]}")

    def _list(self) -> str:
        more = len(self._reasons) - SHOWN
        return "\n".join(f"  {reason}" for reason in self._reasons[:SHOWN]) + (f"\n  and {more} more" * (more > 0))


def stride(samples: int) -> int:
    """How far on a stand-in lies: near `GOLDEN` of the split, without a common divisor, so that all are reached."""
    wanted = max(1, round(GOLDEN * samples))
    return next(step for step in range(wanted, 0, -1) if gcd(step, samples) == 1)
