"""The layers that the networks are made of."""

from collections.abc import Sequence

import torch
from spt_kernels import norm_act, pack, pack_transposed, packed_conv, packed_conv_transposed
from spt_kernels.paths import is_on_processor
from torch import Tensor, nn
from torch.nn.functional import fold, leaky_relu, relu_

from spt_dist.models.noise import Seeded, drop_channels
from spt_dist.types import Features

LEAK = 0.2
NORM_EPS = 1e-3
FEW_CHANNELS, MANY_PX = 4, 128 * 128


class ScalarLayerNorm(nn.Module):
    """Normalises over channels, rows and columns together, with one scalar weight and bias; then a leaky ReLU.

    `slope` is that of the leaky ReLU: 1 for none, 0 for a ReLU.
    """

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.slope = slope

    def forward(self, x: Features) -> Features:
        """Normalise x [b c h w], sample by sample."""
        return norm_act(x, 1, self.weight, self.bias, NORM_EPS, self.slope)


def instance_norm(x: Features, slope: float = 0.0) -> Features:
    """Normalise every channel of every sample, then a leaky ReLU; `slope` 1 for none, 0 for a ReLU."""
    return norm_act(x, groups=x.shape[1], slope=slope)


class Conv(nn.Conv2d):
    """Convolution padded by one pixel, of maps that lie side by side; `prepare` saves time once the weight stays.

    A prepared one draws without joining the maps, channels-last; with gradients it is torch's own.
    """

    packed: Tensor | None

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, padding=1, bias=bias)
        self.register_buffer("packed", None, persistent=False)

    def forward(self, input: Tensor | Sequence[Tensor], slope: float = 1.0) -> Tensor:
        """Maps [b c_i h w] -> [b out i j]; `slope` is of a leaky ReLU in front."""
        maps = [input] if isinstance(input, Tensor) else input
        if self.packed is None or torch.is_grad_enabled():
            return self.plain(joined(maps, slope))
        return packed_conv(maps, self.weight, self.bias, self.packed, self.stride[0], slope)

    def plain(self, x: Tensor) -> Tensor:
        """The convolution itself, by torch."""
        return super().forward(x)

    def prepare(self) -> None:
        """Keep the weight in the form that multiplies fastest; forgotten when the network trains again."""
        self.packed = pack(self.weight)

    def train(self, mode: bool = True) -> "Conv":
        """Training changes the weight."""
        if mode:
            self.packed = None
        return super().train(mode)


class UpConv(nn.ConvTranspose2d):
    """4x4 transposed convolution of stride 2, as `Conv` is: the weight is kept for few pixels and for many.

    With gradients it is torch's own: in training tiles gain 1 % of a step and cost 0.2 GB of its peak.
    """

    phases: Tensor | None
    tiles: Tensor | None

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        self.register_buffer("phases", None, persistent=False)
        self.register_buffer("tiles", None, persistent=False)

    def forward(self, input: Tensor | Sequence[Tensor], output_size: list[int] | None = None) -> Tensor:
        """Maps [b c_i h w] -> [b out 2h 2w], a ReLU in front."""
        maps = [input] if isinstance(input, Tensor) else input
        if self.phases is None or torch.is_grad_enabled():
            return super().forward(joined(maps, 0.0), output_size)
        return packed_conv_transposed(maps, self.weight, self.phases, self.tiles, 0.0)

    def prepare(self) -> None:
        """Keep the weight in the forms that multiply fastest; forgotten when the network trains again."""
        self.phases, self.tiles = pack_transposed(self.weight)

    def train(self, mode: bool = True) -> "UpConv":
        """Training changes the weight."""
        if mode:
            self.phases = self.tiles = None
        return super().train(mode)


def joined(maps: Sequence[Tensor], slope: float) -> Tensor:
    """Maps side by side along the channels, behind a leaky ReLU; slope 1 is none."""
    if len(maps) == 1:
        return maps[0] if slope == 1 else leaky_relu(maps[0], slope)
    x = torch.cat(list(maps), dim=1)
    if slope == 0:
        return relu_(x)
    return x if slope == 1 else leaky_relu(x, slope)


def prepare(network: nn.Module) -> nn.Module:
    """Make a trained network ready to draw, and give it back: `eval`, then every convolution's `prepare`."""
    for module in network.eval().modules():
        if isinstance(module, Conv | UpConv):
            module.prepare()
    return network


class DownBlock(nn.Module):
    """LeakyReLU, 4x4 convolution of stride 2, norm: halves the size."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 4, stride=2, bias=False)
        self.norm = ScalarLayerNorm() if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[b in h w] -> [b out h/2 w/2]."""
        return self.norm(self.conv(x, LEAK))


class UpBlock(nn.Module):
    """ReLU, 4x4 transposed convolution of stride 2, norm, ReLU, 2-d dropout: doubles the size of maps side by side.

    The published order has the dropout in front of the ReLU; scaling or dropping whole channels, it commutes with it.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = UpConv(in_channels, out_channels)
        self.norm = ScalarLayerNorm(slope=0.0)
        self.dropout = dropout

    def forward(self, maps: Tensor | Sequence[Tensor], noise: Seeded | None = None) -> Tensor:
        """[b in_i h w] -> [b out 2h 2w]; a network that draws drops channels only by the seeds of `noise`."""
        x = self.norm(self.conv(maps))
        return drop_channels(x, self.dropout, noise) if self.dropout and (self.training or noise) else x


class PictureHead(Conv):
    """3x3 convolution to the few channels of a picture, under which a processor's convolutions leave vectors empty.

    There it is one product of all taps with all pixels, and a sum of the nine shifted results, which pays on maps of
    `MANY_PX` and more.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def plain(self, x: Tensor) -> Tensor:
        """[b in h w] -> [b out h w]."""
        size = (x.shape[2], x.shape[3])
        if not is_on_processor(x) or self.out_channels > FEW_CHANNELS or size[0] * size[1] < MANY_PX:
            return super().plain(x)
        taps = self.weight.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, self.in_channels)
        summed = fold(taps @ x.flatten(2), size, kernel_size=3, padding=1)
        return summed if self.bias is None else summed + self.bias[:, None, None]


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
