"""Losses that frozen judges give: their memory is free again before the next one judges."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _TakenAtOnce(torch.autograd.Function):
    """A loss of pictures whose gradient is taken as soon as it is computed, so that its graph is not kept.

    What judges a picture remembers several times as much as what drew it.
    """

    @staticmethod
    def forward(ctx: Any, loss: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            value = loss(pictures)
            value.backward()  # the judges are frozen: only the pictures have a gradient
            ctx.save_for_backward(pictures.grad)
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, grads[0] * gradient


def taken_at_once(loss: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """`loss(pictures)`, with its gradient; the judges' memory is free again."""
    return _TakenAtOnce.apply(loss, pictures) if pictures.requires_grad else loss(pictures)
