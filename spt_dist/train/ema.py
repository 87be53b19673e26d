"""Exponential moving averages of generators: what evaluation and serving use."""

import copy

import torch
from torch import Tensor, nn

RAMP_UP = 0.05  # early on, the half-life is this fraction of the images seen (Karras et al., StyleGAN3)


class Ema:
    """The average of a network's parameters over images, with a half-life in images."""

    def __init__(self, module: nn.Module, half_life_imgs: float):
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.half_life_imgs = half_life_imgs
        self.seen_imgs = 0

    @torch.no_grad()
    def update(self, module: nn.Module, batch_imgs: int) -> None:
        """Move the average towards `module` after a step on `batch_imgs` images."""
        self.seen_imgs += batch_imgs
        half_life = min(self.half_life_imgs, self.seen_imgs * RAMP_UP)
        keep = 0.5 ** (batch_imgs / half_life) if half_life else 0.0
        averages: list[Tensor] = [average.data for average in self.module.parameters()]
        torch._foreach_lerp_(averages, [parameter.data for parameter in module.parameters()], 1.0 - keep)
        for average, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
