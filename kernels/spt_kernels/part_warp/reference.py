"""What `part_warp` means: the shortest correct form, which every faster spelling must equal.

Each rigid part of the body moves by its own affine map. Every part warps the whole feature map, keeps what lies in its
mask (its quadrilateral, rasterised at the picture's size and resized to the features'), and the parts are joined by a
maximum, in which masked-out zeros take part. Where parts tie, the first one in part
order is the winner and alone receives the gradient.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from spt_kernels.part_masks.reference import part_masks


def ndc_transforms(
    transforms: Float[Tensor, "b p 2 3"], feature_size: tuple[int, int], image_size: tuple[int, int]
) -> Float[Tensor, "b p 2 3"]:
    """Affine maps between sampler coordinates (-1 and 1 at the centres of the first and last pixel), from maps in px.

    In pixels of the feature map: `x' = a x + b y + c (w - 1) / W` and `y' = d x + e y + f (h - 1) / H`. So an offset
    as long as the image becomes the last pixel's index: the published reading, extended to maps that are not square.
    """
    (h, w), (H, W) = feature_size, image_size
    aspect = (H * w) / (h * W)  # 1 unless the feature map is squeezed against the image
    (a, b, c), (d, e, f) = (row.unbind(-1) for row in transforms.unbind(-2))
    b = b * (aspect * (h - 1) / (w - 1) if w > 1 else 0.0)
    d = d * ((w - 1) / (h - 1) / aspect if h > 1 else 0.0)
    rows = [a, b, 2 * c / W + a + b - 1, d, e, 2 * f / H + d + e - 1]
    return torch.stack(rows, dim=-1).unflatten(-1, (2, 3))


def axes(size: tuple[int, int], like: Tensor) -> tuple[Float[Tensor, " h"], Float[Tensor, " w"]]:
    """Sampler coordinates of the rows and of the columns; one pixel alone lies at 0."""
    h, w = (torch.linspace(-min(n - 1, 1), 1, n, dtype=like.dtype, device=like.device) for n in size)
    return h, w


def positions(ndc: Float[Tensor, "... 2 3"], x: Tensor, y: Tensor) -> Float[Tensor, "... 2"]:
    """Where maps send points, in sampler coordinates.

    The order of the arithmetic is the published sampler's: positions agree to the last bit, else the rounding of
    float32 alone moves the values by 2e-5 at 64 pixels.
    """
    return ndc[..., 0] * x[..., None] + ndc[..., 1] * y[..., None] + ndc[..., 2]


def resize_masks(masks: Bool[Tensor, "b p H W"], size: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "b p h w"]:
    """Masks at feature size, soft at their borders: bilinear at half-pixel centres, without antialiasing."""
    return F.interpolate(masks.to(dtype), size, mode="bilinear", align_corners=False, antialias=False)


def part_warp(
    features: Float[Tensor, "b c h w"],
    transforms: Float[Tensor, "b p 2 3"],
    quads: Float[Tensor, "b p 4 2"],
    image_size: tuple[int, int],
) -> Float[Tensor, "b c h w"]:
    """Warp every part bilinearly with zeros outside, multiply by its mask, take the maximum over parts."""
    (b, _, h, w), p = features.shape, transforms.shape[1]
    masks = resize_masks(part_masks(quads, image_size), (h, w), features.dtype)
    ndc = ndc_transforms(transforms.detach().to(features.dtype), (h, w), image_size)
    y, x = axes((h, w), like=features)
    grid = positions(ndc[:, :, None, None], x, y[:, None])  # [b p h w 2]
    copies = features.repeat_interleave(p, dim=0)
    warped = F.grid_sample(copies, grid.flatten(0, 1), mode="bilinear", padding_mode="zeros", align_corners=True)
    return (warped.unflatten(0, (b, p)) * masks[:, :, None]).max(dim=1).values
