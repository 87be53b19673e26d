"""The door into `part_masks`: picks the device's form, and tells torch its shapes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spt_kernels.part_masks import cpu


def part_masks(quads: Float[Tensor, "b p 4 2"], size: tuple[int, int]) -> Bool[Tensor, "b p h w"]:
    """Rasterise quadrilaterals: the pixels whose centres lie inside or on the border.

    Gradients: none.

    Args:
        quads: corners (x, y) in px, in order round the quadrilateral; pixel centres lie on integers. Whether a centre
            lies on a border is decided in float64. NaN corners cover nothing.
        size: (height, width) of the masks in px.
    """
    return _rasterise(quads.detach().double(), *size)


@torch.library.custom_op("spt_kernels::part_masks", mutates_args=(), device_types="cpu")
def _rasterise(quads: Tensor, height: int, width: int) -> Tensor:
    return cpu.forward(quads, (height, width))


@_rasterise.register_kernel("cuda")
def _(quads: Tensor, height: int, width: int) -> Tensor:
    from spt_kernels.part_masks import _triton

    return _triton.forward(quads, (height, width))


@_rasterise.register_fake
def _(quads: Tensor, height: int, width: int) -> Tensor:
    return quads.new_empty(*quads.shape[:2], height, width, dtype=torch.bool)
