"""What networks compute in while they train.

In `bf16` a network's convolutions and products run in bfloat16, forward and backward, by `torch.autocast`; it takes and
gives float32, so whatever lies between networks (softmax, Gram matrices, losses) stays float32, and so do weights,
optimizer and averages: bfloat16 has float32's range, so no loss needs scaling, and inference knows nothing of it.

The cast lies inside the module that an engine is given, because DeepSpeed switches off an autocast around its engines.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn


class InBfloat16(nn.Module):
    """A network that computes in bfloat16 and gives float32; its parameters are the network's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, first: Tensor, *others: Any) -> Tensor:
        """The network's forward; `first` says on which device."""
        with torch.autocast(first.device.type, torch.bfloat16):
            return self.network(first, *others).float()


def in_precision(network: nn.Module, precision: Literal["fp32", "bf16"]) -> nn.Module:
    """What computes the network's forward in `train.precision`."""
    return InBfloat16(network) if precision == "bf16" else network
