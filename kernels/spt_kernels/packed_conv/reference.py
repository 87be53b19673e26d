"""What `packed_conv` means: the shortest correct form, which every faster spelling must equal."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Parts = Sequence[Float[Tensor, "b _ h w"]]


def packed_conv(
    maps: Parts, weight: Float[Tensor, "o c k k"], bias: Float[Tensor, " o"] | None, stride: int, slope: float
) -> Float[Tensor, "b o i j"]:
    """Join maps, a leaky ReLU, convolve; the borders padded by one zero."""
    return F.conv2d(joined(maps, slope), weight, bias, stride=stride, padding=1)


def packed_conv_transposed(maps: Parts, weight: Float[Tensor, "c o 4 4"], slope: float) -> Float[Tensor, "b o 2*h 2*w"]:
    """Join maps, a leaky ReLU, convolve transposed with stride 2 and padding 1."""
    return F.conv_transpose2d(joined(maps, slope), weight, stride=2, padding=1)


def joined(maps: Parts, slope: float) -> Float[Tensor, "b c h w"]:
    """Maps side by side along the channels, behind a leaky ReLU; slope 1 is none."""
    x = torch.cat(list(maps), dim=1) if len(maps) > 1 else maps[0]
    return x if slope == 1 else F.leaky_relu(x, slope)
