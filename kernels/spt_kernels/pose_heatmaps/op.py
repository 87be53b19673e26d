"""The door into `pose_heatmaps`: picks the device's form, and tells torch what it writes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spt_kernels.pose_heatmaps import cpu


def pose_heatmaps(
    joints: Float[Tensor, "b k 2"],
    visible: Bool[Tensor, "b k"],
    size: tuple[int, int],
    sigma_px: float,
    out: Float[Tensor, "b k h w"] | None = None,
) -> Float[Tensor, "b k h w"]:
    """Heat maps of a pose: `exp(-d^2 / (2 sigma^2))` round every joint, zero for a joint that is not visible.

    Gradients: none.

    Args:
        joints: (x, y) in px; pixel centres lie on integers.
        visible: which joints are drawn; the place of the others is not read.
        size: (height, width) of the maps in px.
        sigma_px: the Gaussian's standard deviation in px.
        out: where to write, of any float type and strides: a slice of channels of a network's input, say.

    Returns:
        `out`, or new float32 maps (float64 for float64 joints).

    Raises:
        ValueError: `sigma_px` is not above 0, or `out` has another shape.
    """
    b, k = visible.shape
    if not sigma_px > 0:
        raise ValueError(f"`sigma_px` is {sigma_px}; give a standard deviation above 0 px")
    if out is None:
        dtype = torch.float64 if joints.dtype == torch.float64 else torch.float32
        out = torch.empty(b, k, *size, dtype=dtype, device=joints.device)
    elif out.shape != (b, k, *size):
        raise ValueError(
            f"`out` is {tuple(out.shape)} but the maps are {(b, k, *size)}; slice as many channels as joints"
        )
    _draw(joints.detach(), visible, float(sigma_px), out)
    return out


@torch.library.custom_op("spt_kernels::pose_heatmaps", mutates_args=("out",), device_types="cpu")
def _draw(joints: Tensor, visible: Tensor, sigma_px: float, out: Tensor) -> None:
    cpu.forward(joints.to(torch.promote_types(out.dtype, torch.float32)), visible, sigma_px, out)


@_draw.register_kernel("cuda")
def _(joints: Tensor, visible: Tensor, sigma_px: float, out: Tensor) -> None:
    from spt_kernels.pose_heatmaps import _triton

    _triton.forward(joints.float(), visible, sigma_px, out)


@_draw.register_fake
def _(joints: Tensor, visible: Tensor, sigma_px: float, out: Tensor) -> None:
    return None
