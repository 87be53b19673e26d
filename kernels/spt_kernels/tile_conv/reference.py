"""What `tile_conv` means: the shortest correct form, which every faster spelling must equal."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def tile_conv(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "o c k k"],
    bias: Float[Tensor, " o"] | None,
    padding: int,
    reflect: bool,
) -> Float[Tensor, "b o i j"]:
    """Convolve with stride 1, the borders padded with zeros or reflected."""
    if reflect:
        x, padding = F.pad(x, (padding,) * 4, mode="reflect"), 0
    return F.conv2d(x, weight, bias, padding=padding)


def transforms(kernel: int) -> tuple[Float[Tensor, "6 6"], Float[Tensor, "6 k"], Float[Tensor, "6 m"]]:
    """The matrices B', G and A of the tile's product, float64: `y = A' [(G w G') * (B' x B)] A`.

    Interpolation at the points 0, +-1/sqrt(2), +-sqrt(2) and infinity. Their products are one, which loses fewer digits
    than the usual 0, +-1, +-2 (measured: errors of 2e-6 of the largest value, four times smaller).
    """
    outputs, root = 7 - kernel, 2.0**0.5
    points = (0.0, 1 / root, -1 / root, root, -root)
    powers = torch.tensor([[point**k for k in range(6)] for point in points], dtype=torch.float64)
    last = torch.eye(6, dtype=torch.float64)
    b = torch.zeros(6, 6, dtype=torch.float64)
    scales = torch.ones(6, 1, dtype=torch.float64)
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        b[i, :5] = _polynomial(others)
        scales[i] = torch.tensor([1 / (point - other) for other in others], dtype=torch.float64).prod()
    b[5] = _polynomial(points)
    g = torch.cat([powers[:, :kernel], last[kernel - 1 : kernel, :kernel]]) * scales
    a = torch.cat([powers[:, :outputs], last[outputs - 1 : outputs, :outputs]])
    return b, g, a


def _polynomial(roots: list[float] | tuple[float, ...]) -> Float[Tensor, " n"]:
    """Coefficients of the product of (x - root), lowest power first."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        shifted = torch.cat([torch.zeros(1, dtype=torch.float64), coefficients])
        coefficients = shifted - root * torch.cat([coefficients, torch.zeros(1, dtype=torch.float64)])
    return coefficients
