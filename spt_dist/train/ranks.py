"""The processes that train together."""

from typing import NamedTuple

import torch
import torch.distributed as dist


class Ranks(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of all processes' values, on every one of them; all call it together."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values / self.size

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()
