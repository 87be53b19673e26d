"""What a rank reads, and what its readers have in common."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import Batch


@dataclass(frozen=True)
class Plan:
    """A rank's share of a split. `batch` counts the rank's own samples, `shuffle_buffer` is in samples."""

    manifest: Manifest
    split: str
    batch: int
    rank: int
    world_size: int
    seed: int
    shuffle_buffer: int
    device: str

    @property
    def samples(self) -> int:
        """How many samples the split has, over all ranks."""
        return self.manifest.splits[self.split].samples

    @property
    def batches(self) -> int:
        """How many batches an epoch has on every rank; what is left over waits for another epoch."""
        return self.samples // (self.world_size * self.batch)


@runtime_checkable
class Stream(Protocol):
    """An endless stream of one rank's decoded batches, on the plan's device.

    In an epoch every sample comes at most once over all ranks. `seek(position())` on another stream of the same plan
    makes it go on exactly where this one would; a position holds only numbers, strings and bytes.
    """

    def draw(self) -> Batch:
        """The next batch."""
        ...

    def position(self) -> dict[str, Any]:
        """Where the stream stands, behind the last batch drawn."""
        ...

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position of another stream of the same plan."""
        ...
