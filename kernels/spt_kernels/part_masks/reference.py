"""What `part_masks` means: the shortest correct form, which every faster spelling must equal to the pixel.

A pixel belongs to a quadrilateral when its centre lies inside or on the border: even-odd crossings of the vertical rays
from the centre, up and down (O'Rourke); inside both are odd, on a border they differ. Whether a centre lies on a
slanted border is a matter of rounding, so the order of the float64 arithmetic is part of the definition.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ON_CORNER_PX = 1e-12


def part_masks(quads: Float[Tensor, "b p 4 2"], size: tuple[int, int]) -> Bool[Tensor, "b p h w"]:
    """The pixels inside each quadrilateral of corners (x, y) in px; one with a NaN covers nothing."""
    quads = quads.detach().double()
    x, y = (torch.arange(length, device=quads.device).to(quads) for length in (size[1], size[0]))
    px, py = ((quads[..., axis, None] - grid).unbind(-2) for axis, grid in ((0, x), (1, y)))  # [b p w], [b p h]
    below = above = corner = torch.zeros((), dtype=torch.bool, device=quads.device)
    for this, last in ((0, 3), (1, 0), (2, 1), (3, 2)):
        x1, x0 = px[this][..., None, :], px[last][..., None, :]  # [b p 1 w]
        y1, y0 = py[this][..., :, None], py[last][..., :, None]  # [b p h 1]
        corner = corner | ((x1.abs() < ON_CORNER_PX) & (y1.abs() < ON_CORNER_PX))
        crossing = (y1 * x0 - y0 * x1) * (x0 - x1).sign()
        below = below ^ (((x1 > 0) != (x0 > 0)) & (crossing > 0))
        above = above ^ (((x1 < 0) != (x0 < 0)) & (crossing < 0))
    known = ~quads.isnan().flatten(2).any(dim=2)
    return (below | above | corner) & known[..., None, None]
