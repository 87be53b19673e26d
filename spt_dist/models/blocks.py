"""The layers that the networks are made of."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout2d, group_norm, leaky_relu

from spt_dist.types import Features

LEAK = 0.2
NORM_EPS = 1e-3


class ScalarLayerNorm(nn.Module):
    """Normalises over channels, rows and columns together; one scalar weight and one scalar bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Features) -> Features:
        """Normalise x [b c h w], sample by sample."""
        channels = x.shape[1]
        return group_norm(x, 1, self.weight.expand(channels), self.bias.expand(channels), NORM_EPS)


class DownBlock(nn.Module):
    """LeakyReLU, 4x4 convolution of stride 2, norm: halves the size."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        self.norm = ScalarLayerNorm() if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[b in h w] -> [b out h/2 w/2]."""
        return self.norm(self.conv(leaky_relu(x, LEAK)))


class UpBlock(nn.Module):
    """4x4 transposed convolution of stride 2, norm, 2-d dropout: doubles the size of what is already rectified."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        self.norm = ScalarLayerNorm()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """[b in h w] -> [b out 2h 2w]."""
        x = self.norm(self.conv(x))
        return dropout2d(x, self.dropout, self.training) if self.dropout else x


def require_divisible(size: tuple[int, int], factor: int, network: str) -> None:
    """Refuse an image size (height, width) that the network cannot halve as often as it must."""
    height, width = size
    if height % factor or width % factor:
        raise ValueError(
            f"{network} cannot take {height}x{width} px: height and width must be multiples of {factor}; "
            f"use {_round_up(height, factor)}x{_round_up(width, factor)}, or fewer `widths`"
        )


def _round_up(length: int, factor: int) -> int:
    return -(-length // factor) * factor
