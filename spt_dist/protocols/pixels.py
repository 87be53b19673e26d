"""Scores of pixels: how pictures are framed, masked, and compared by structural similarity in a window.

The lineages call scikit-image with different arguments, in different releases; a `Window` is what these come to.
Gaussian windows had 13 taps until a correction in 2019 (scikit-image, pull request 3802) and have 11 since; 5 px at
each border are left out of the mean in both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from spt_dist.geometry import pose_mask
from spt_dist.metrics import RANGE, SIGMA, WINDOW_PX, Scores, mask_half_width_px
from spt_dist.protocols.definition import UndefinedError
from spt_dist.types import ImageBytes, Joints

K1, K2 = 0.01, 0.03
MASK_PX = 4.0  # half-width of the field's mask, whatever the pictures' size
FASHION = (256, 176)  # DeepFashion's pictures without their margins, height and width
MARGIN_PX = 40  # what is left at either side to 256x256
WHITE = 255

Framed = UInt8[Tensor, "b i j 3"]
Frame = Callable[[ImageBytes], Framed]


@dataclass(frozen=True)
class Window:
    """How SSIM looks at pictures: `taps` px wide, Gaussian or (`sigma` 0) flat; `margin` px at each border are out.

    `data_range` 0 is the generated picture's own range, from its darkest to its brightest value.
    """

    taps: int
    margin: int
    sigma: float = 0.0
    data_range: float = RANGE
    sample_covariance: bool = False

    def weights(self) -> Float[Tensor, "t"]:
        """Of a Gaussian along one axis."""
        x = torch.arange(self.taps, dtype=torch.float64) - self.taps // 2
        weights = torch.exp(-0.5 * (x / self.sigma).square())
        return weights / weights.sum()


GAUSSIAN_13 = Window(13, 5, SIGMA, data_range=0)
GAUSSIAN_11 = Window(11, 5, SIGMA, data_range=0)
FLAT_51 = Window(51, 25, sample_covariance=True)


def ssim(images: ImageBytes, references: ImageBytes, window: Window) -> Scores:
    """Structural similarity per picture, the mean over channels and the pixels that count, in double precision.

    A picture of one colour has no range of its own: NaN.

    Raises:
        UndefinedError: no pixel counts, the pictures are smaller than the window.
    """
    size = (images.shape[1], images.shape[2])
    if min(size) <= 2 * window.margin:
        raise UndefinedError(f"its window of {2 * window.margin + 1} px does not fit into pictures of {size} px")
    x, y = (pictured.permute(0, 3, 1, 2).double() for pictured in (images, references))
    reach = window.data_range or (x.amax((1, 2, 3)) - x.amin((1, 2, 3)))[:, None, None, None]
    c1, c2 = (K1 * reach) ** 2, (K2 * reach) ** 2
    mean_x, mean_y, xx, yy, xy = (_blur(maps, window) for maps in (x, y, x * x, y * y, x * y))
    pixels = window.taps**2
    unbiased = pixels / (pixels - 1) if window.sample_covariance else 1.0
    variances = unbiased * (xx - mean_x**2 + yy - mean_y**2)
    covariance = unbiased * (xy - mean_x * mean_y)
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (alike / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean((1, 2, 3)).float()


def ssim_in_mask(images: ImageBytes, references: ImageBytes, joints: Joints) -> Scores:
    """SSIM at each pixel of whole pictures, the mean over the pixels of the target's pose mask; NaN without a joint."""
    size = (images.shape[1], images.shape[2])
    mask = pose_mask(joints, size, mask_half_width_px(size))
    x, y = (pictured.permute(0, 3, 1, 2).float() for pictured in (images, references))
    result = structural_similarity_index_measure(
        x, y, sigma=SIGMA, kernel_size=WINDOW_PX, data_range=RANGE, reduction="none", return_full_image=True
    )
    assert isinstance(result, tuple)
    return (result[1] * mask).mean(1).sum((1, 2)) / mask[:, 0].sum((1, 2))


def masked(images: ImageBytes, joints: Joints) -> ImageBytes:
    """Pictures that are black outside the field's pose mask of the target's joints."""
    mask = pose_mask(joints, (images.shape[1], images.shape[2]), MASK_PX)
    return images * mask[:, 0, :, :, None].to(torch.uint8)


def as_drawn(images: ImageBytes) -> ImageBytes:
    """Pictures as they are."""
    return images


def white_margins(images: ImageBytes) -> Framed:
    """DeepFashion at 256x256 with `MARGIN_PX` of white at either side; 256x176 is widened, any other size stays."""
    height, width = FASHION
    if images.shape[1] != height or images.shape[2] not in (width, height):
        return images
    start = (images.shape[2] - width) // 2
    return F.pad(images[:, :, start : start + width], (0, 0, MARGIN_PX, MARGIN_PX), value=WHITE)


def cut_to_fashion(images: ImageBytes) -> Framed:
    """Pictures at 256x176, bicubic with antialiasing, cut down to whole grey levels: what a cast to bytes does."""
    return _at_fashion_size(images, cut=True)


def round_to_fashion(images: ImageBytes) -> Framed:
    """Pictures at 256x176, bicubic with antialiasing, rounded to whole grey levels: what an image library does."""
    return _at_fashion_size(images, cut=False)


class Frames(NamedTuple):
    """How pictures are framed that were drawn, and those that are true."""

    drawn: Frame
    true: Frame


AS_THEY_ARE = Frames(as_drawn, as_drawn)
WIDENED_FRAMES = Frames(white_margins, white_margins)
AT_FASHION_SIZE = Frames(cut_to_fashion, round_to_fashion)


def _at_fashion_size(images: ImageBytes, cut: bool) -> Framed:
    if (images.shape[1], images.shape[2]) == FASHION:
        return images
    resized = F.interpolate(
        images.permute(0, 3, 1, 2).float(), FASHION, mode="bicubic", antialias=True, align_corners=False
    )
    levels = resized if cut else resized.round()
    return levels.clamp(0, RANGE).to(torch.uint8).permute(0, 2, 3, 1)


def _blur(maps: Float[Tensor, "b c h w"], window: Window) -> Float[Tensor, "b c i j"]:
    """Means in the window, where its middle lies within the margin.

    A window that reaches one pixel beyond the picture meets its border's own colour there, as a mirror shows.
    """
    beyond = window.taps // 2 - window.margin
    assert beyond in (0, 1)
    maps = F.pad(maps, (beyond,) * 4, mode="replicate")
    return _mean_along(_mean_along(maps, window, 3), window, 2)


def _mean_along(maps: Tensor, window: Window, dim: int) -> Tensor:
    """Means along one axis: running sums, or shifted pictures; a convolution in double precision copies all taps."""
    length = maps.shape[dim] - window.taps + 1
    if not window.sigma:
        sums = F.pad(maps.cumsum(dim), (1, 0) if dim == 3 else (0, 0, 1, 0))
        return (sums.narrow(dim, window.taps, length) - sums.narrow(dim, 0, length)) / window.taps
    total = torch.zeros_like(maps.narrow(dim, 0, length))
    for tap, weight in enumerate(window.weights().tolist()):
        total.add_(maps.narrow(dim, tap, length), alpha=weight)
    return total
