"""Our own annotator's network: where the joints of the person in a picture are, and what each of its pixels is.

A U-Net of the generators' blocks with one encoder, residual blocks on its two smallest maps, and one head for both
answers, at half the size: a last doubling would be a fifth of the work. Parsing is ten logits a pixel. A joint is
somewhere or nowhere: its heat map holds the logits of a distribution over all pixels and one further place, 'nowhere',
whose logit is 0. So a missing joint is learned like any other, and how much of the distribution lies round its peak is
a confidence (`heatmap_peaks`).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from spt_dist.body import MISSING, Joint, Label
from spt_dist.config import Annotator as AnnotatorConfig
from spt_dist.models.blocks import Conv, UpBlock, require_divisible
from spt_dist.models.inputs import Maps
from spt_dist.models.pose_detector import ResidualBlock
from spt_dist.models.unet import Encoder
from spt_dist.types import Heatmaps, Images, Joints

PEAK_PX = 4  # half a side of the square round a peak that counts as the joint's place
SEEN = 0.4  # a confidence below this is no joint


class AnnotatorNetwork(nn.Module):
    """Image in [-1, 1] -> logits of the ten labels, then of the 18 joints' places, in the order of `View.maps`.

    Image sizes must be multiples of `2 ** (len(config.widths) - 1)`; any other is a `ValueError`.
    """

    def __init__(self, config: AnnotatorConfig) -> None:
        super().__init__()
        widths = config.widths
        self.factor = 2 ** (len(widths) - 1)
        self.encoder = Encoder(3, widths, norm_last=True)
        self.bottom, self.above = (
            nn.Sequential(*(ResidualBlock(widths[level]) for _ in range(config.blocks))) for level in (-1, -2)
        )
        levels = list(reversed(range(1, len(widths) - 1)))
        self.ups = nn.ModuleList(
            UpBlock(widths[level + 1] * (1 if level == levels[0] else 2), widths[level]) for level in levels
        )
        self.head = Conv(2 * widths[1], len(Label) + len(Joint), 3)
        height, width = config.size
        assert self.head.bias is not None
        with torch.no_grad():  # at first as likely nowhere as somewhere
            self.head.bias[: len(Label)] = 0.0
            self.head.bias[len(Label) :] = -math.log(height * width)

    def forward(self, image: Images) -> Maps:
        """Logits [b 28 h w], without a final nonlinearity."""
        height, width = image.shape[2:]
        require_divisible((height, width), self.factor, type(self).__name__)
        _, *levels, x = self.encoder(image)
        maps = [self.bottom(x)]
        for number, up in enumerate(self.ups):
            x = up(maps)
            maps = [self.above(x) if number == 0 else x, levels.pop()]
        return interpolate(self.head(maps, slope=0.0), scale_factor=2, mode="bilinear", align_corners=False)


class Peaks(NamedTuple):
    """Where joints are: `xy` in px of the picture, and how sure that is, 0 to 1."""

    xy: Float[Tensor, "b 18 2"]
    confidence: Float[Tensor, "b 18"]


def heatmap_peaks(logits: Heatmaps) -> Peaks:
    """The likeliest place of each joint, finer than a pixel: the centroid of what lies within `PEAK_PX` of the peak.

    The confidence is what lies there of the whole distribution, 'nowhere' counted.
    """
    width = logits.shape[-1]
    nowhere = torch.zeros_like(logits[..., 0, :1])
    shares = torch.cat([logits.flatten(2), nowhere], 2).softmax(2)[..., :-1]
    best = shares.argmax(2)
    row, column = best // width, best % width
    padded = pad(shares.unflatten(2, (-1, width)), (PEAK_PX,) * 4)
    offsets = torch.arange(2 * PEAK_PX + 1, device=logits.device)
    rows, columns = row[..., None, None] + offsets[:, None], column[..., None, None] + offsets
    samples = torch.arange(len(logits), device=logits.device)[:, None, None, None]
    joints = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    near = padded[samples, joints, rows, columns]
    mass = near.sum((2, 3))
    places = torch.stack([(near.sum(2) * columns[..., 0, :]).sum(2), (near.sum(3) * rows[..., 0]).sum(2)], dim=2)
    return Peaks(places / mass.clamp(min=torch.finfo(mass.dtype).tiny)[..., None] - PEAK_PX, mass)


def seen_joints(peaks: Peaks) -> Joints:
    """The joints whose confidence is `SEEN` at least; the others are missing."""
    visible = (peaks.confidence >= SEEN)[..., None]
    return torch.where(visible, torch.cat([peaks.xy, visible.to(peaks.xy)], -1), peaks.xy.new_tensor(MISSING))
