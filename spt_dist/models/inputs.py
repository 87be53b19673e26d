"""From what crosses to the device (uint8 images, uint8 labels, joints) to what the networks read."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from spt_dist.body import Joint, Label
from spt_dist.geometry import heatmaps
from spt_dist.types import Heatmaps, ImageBytes, Images, Joints, LabelBytes, Parsing

# A parsing and the heat maps of its pose: what H_S reads of the source, and what its discriminator judges.
Maps = Float[Tensor, "b 28 h w"]
# The published networks do not read the background's channel.
NetworkParsing = Float[Tensor, "b 9 h w"]


class View(NamedTuple):
    """One person in one pose, as the networks read it; all on one device."""

    image: Images
    labels: LabelBytes
    joints: Joints
    maps: Maps

    @property
    def parsing(self) -> Parsing:
        """The labels, one channel each: a slice of `maps`."""
        return self.maps[:, : len(Label)]

    @property
    def heatmaps(self) -> Heatmaps:
        """The joints' heat maps: a slice of `maps`."""
        return self.maps[:, len(Label) :]


def view(images: ImageBytes, labels: LabelBytes, joints: Joints, sigma_px: float) -> View:
    """Scale images to [-1, 1]; spread labels over channels and draw heat maps of width `sigma_px`, side by side."""
    batch, height, width = labels.shape
    maps = torch.empty(batch, len(Label) + len(Joint), height, width, device=labels.device)
    seen = View(to_float(images), labels, joints, maps)
    one_hot(labels, out=seen.parsing)
    heatmaps(joints, (height, width), sigma_px, out=seen.heatmaps)
    return seen


def to_float(images: ImageBytes) -> Images:
    """uint8 [b h w 3] to float [b 3 h w] in [-1, 1]: `x / 127.5 - 1`."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_bytes(images: Images) -> ImageBytes:
    """Float [b 3 h w] in [-1, 1] to uint8 [b h w 3], rounded; what lies outside is clipped."""
    return (
        ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    )


def one_hot(labels: LabelBytes, out: Parsing | None = None) -> Parsing:
    """Labels [b h w] as one channel per label, written into `out` where given."""
    each = torch.arange(len(Label), dtype=torch.uint8, device=labels.device)[:, None, None]
    if out is None:
        out = torch.empty(len(labels), len(Label), *labels.shape[1:], device=labels.device)
    return torch.eq(labels[:, None], each, out=out)


def to_labels(parsing: Parsing) -> LabelBytes:
    """The likeliest label of every pixel, uint8 [b h w]; of equals the first. (`argmax` takes ten times as long.)"""
    return parsing.detach().max(1).indices.to(torch.uint8)


def parsing_to_read(logits: Parsing, smooth: bool) -> Parsing:
    """H_S's logits as the soft parsing that H_A reads; `smooth` averages them over 3x3 px.

    Transposed convolutions leave single pixels of other labels. H_S's own losses see the logits as they are: trained
    through the average it learns to undo it.
    """
    return (avg_pool2d(logits, 3, stride=1, padding=1, count_include_pad=False) if smooth else logits).softmax(1)


def foreground(parsing: Parsing) -> NetworkParsing:
    """The parsing without its background, as the published networks read it."""
    return parsing[:, 1:]


def halve_image(image: Images) -> Float[Tensor, "b 3 i j"]:
    """Half the size, bicubic with antialiasing: what an image library's bicubic reduction does."""
    return interpolate(image, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def halve_parsing(parsing: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
    """Every 2nd pixel: stays one-hot where it was."""
    return parsing[:, :, ::2, ::2]


def halve_heatmaps(maps: Heatmaps) -> Float[Tensor, "b 18 i j"]:
    """The heat maps of the halved joints, as wide in px as before.

    Sampled at every 2nd pixel a map falls off twice as fast; `exp(-(2d)^2 / 2s^2) ** (1/4) = exp(-d^2 / 2s^2)`.
    """
    return maps[:, :, ::2, ::2] ** 0.25
