"""The processes that train together."""

from typing import Any, NamedTuple

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

    def all(self, holds: bool, group: Any = None) -> bool:
        """Whether it holds on all processes; all call it together, within `group` if one is given."""
        if self.size == 1:
            return holds
        failing = torch.tensor(float(not holds), device="cpu" if group else self.device)
        dist.all_reduce(failing, group=group)
        return not failing.item()

    def told(self, value: Any) -> Any:
        """The leader's value, on every process."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def side_group(self) -> Any:
        """A group of the same processes for a thread of its own, over the host's network; None for one process."""
        return dist.new_group(backend="gloo") if self.size > 1 else None

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()
