"""What a rank reads, and what its readers have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import Batch

# Batches of samples to decode, one after the other, each by the samples' numbers in the split's files.
Numbers = Iterator[list[int]]


@dataclass(frozen=True)
class Plan:
    """Where a rank's samples come from and go to; `batch` counts the rank's own samples in one batch.

    Of the split, the fraction `max_lost` may become unreadable; `tell` is told of each loss, on the decoder's thread.
    """

    manifest: Manifest
    split: str
    batch: int
    ranks: int
    device: str
    max_lost: float
    tell: Callable[[str], None]

    @property
    def samples(self) -> int:
        """How many samples the split has, over all ranks."""
        return self.manifest.splits[self.split].samples


# Decodes such batches onto the plan's device, ahead of what is asked of it.
Decode = Callable[[Plan, Numbers], Iterator[Batch]]
