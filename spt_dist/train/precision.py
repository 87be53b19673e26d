"""What networks compute in while they train.

In `bf16` a network's convolutions and products run in bfloat16, forward and backward, by `torch.autocast`; it takes and
gives float32, so whatever lies between networks (softmax, Gram matrices, losses) stays float32, and so do weights,
optimizer and averages: bfloat16 has float32's range, so no loss needs scaling, and inference knows nothing of it.

The cast lies inside the module that an engine is given, because DeepSpeed switches off an autocast around its engines.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

WRAPPED = "network."  # before the names of `InBfloat16`'s parameters


class InBfloat16(nn.Module):
    """A network that computes in bfloat16 and gives float32; its parameters are the network's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, first: Tensor, *others: Any) -> Tensor:
        """The network's forward; `first` says on which device."""
        with torch.autocast(first.device.type, torch.bfloat16):
            return self.network(first, *others).float()


def without_precision(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's own names of parameters that `in_precision` may have wrapped."""
    wrapped = all(name.startswith(WRAPPED) for name in parameters)
    return {name.removeprefix(WRAPPED) if wrapped else name: values for name, values in parameters.items()}


def in_precision(network: nn.Module, precision: Literal["fp32", "bf16"]) -> nn.Module:
    """What computes the network's forward in `train.precision`."""
    return InBfloat16(network) if precision == "bf16" else network
