"""H_A, the appearance generator: the source person painted into the target's parsing map and pose.

The global network is the two-encoder U-Net. Alone it works at the full size. With the local enhancer it works at half
the size and its head doubles it; the enhancer then reads the full-size inputs, reaches the same features by one
halving, and decodes them together with the global decoder's. A fade-in `alpha` from 0 to 1 leads from the global
picture to the local one, in the encoders' features and in the output.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, tanh

from spt_dist.body import FOREGROUND_LABELS, Joint
from spt_dist.config import Appearance
from spt_dist.geometry import PartWarps
from spt_dist.models.blocks import PictureHead, UpBlock, joined, require_divisible
from spt_dist.models.inputs import foreground, halve_heatmaps, halve_image, halve_parsing
from spt_dist.models.noise import Seeded
from spt_dist.models.unet import Encoder, UNet, warp_features
from spt_dist.regions import Colours, fill_background, paint, region_colours
from spt_dist.types import Features, Heatmaps, Images, Parsing

COLOURS = 3

# What a head gives: three colours, and a weight for each other picture that it mixes in.
Head = Float[Tensor, "b o i j"]


class Sizes(NamedTuple):
    """One input of the generator, maps side by side or stacked; for the local enhancer at half the size too."""

    full: Tensor | Sequence[Tensor]
    half: Tensor | Sequence[Tensor] | None = None


class Source(NamedTuple):
    """An encoded source: serves any number of poses."""

    levels: list[Tensor]
    local: Tensor | None
    colours: Colours | None = None
    image: Images | None = None
    background: Images | None = None


class LocalEnhancer(nn.Module):
    """Half-width encoders and one decoder block at the full size, around the global network at half of it."""

    def __init__(self, widths: tuple[int, ...], source_channels: int, target_channels: int, out_channels: int) -> None:
        super().__init__()
        own = (widths[0] // 2, widths[0])
        self.source_encoder = Encoder(source_channels, own, norm_last=True)
        self.target_encoder = Encoder(target_channels, own, norm_last=True)
        self.up = UpBlock(widths[1] + 2 * widths[0], widths[0])
        self.head = PictureHead(widths[0] + 2 * own[0], out_channels)

    def decode(self, source: Features, target: Features, from_global: list[Tensor], warps: PartWarps) -> Head:
        """Both encoders' first features and the global decoder's -> the head's output."""
        return self.head([self.up(from_global), warp_features(source, warps), target], slope=0.0)


class AppearanceGenerator(nn.Module):
    """Source picture, target parsing and pose -> picture [b 3 h w] in [-1, 1].

    Image sizes must be multiples of `2 ** (len(config.widths) - 1)`, with the local enhancer of twice that; any other
    is a `ValueError`. The parsings have 10 channels, may be soft, and gradients flow through them.
    """

    def __init__(self, config: Appearance) -> None:
        super().__init__()
        labels = len(FOREGROUND_LABELS) if config.reads_parsing else 0
        source_channels = COLOURS + labels + len(Joint)
        target_channels = len(Joint) + labels + (COLOURS if config.flat_colour_input else 0)
        self.reads_parsing, self.flat_colour_input = config.reads_parsing, config.flat_colour_input
        self.blend = config.blend
        out_channels = COLOURS + len(config.blend)
        self.global_net = UNet(
            source_channels, target_channels, out_channels, config.widths, config.warped_levels, config.dropout
        )
        self.local_net = (
            LocalEnhancer(config.widths, source_channels, target_channels, out_channels)
            if config.local_enhancer
            else None
        )
        self.factor = self.global_net.factor * (2 if config.local_enhancer else 1)

    def forward(
        self,
        source_image: Images,
        source_parsing: Parsing,
        source_heatmaps: Heatmaps,
        target_parsing: Parsing,
        target_heatmaps: Heatmaps,
        warps: PartWarps,
        alpha: float = 1.0,
    ) -> Images:
        """The source in the target pose; `warps` lead from the target to the source at the inputs' size.

        `alpha` fades the local enhancer in, from 0 (the global network's picture) to 1; without the enhancer it has no
        effect.
        """
        source = self.encode_source(source_image, source_parsing, source_heatmaps, alpha)
        return self.decode(source, target_parsing, target_heatmaps, warps, alpha)

    def encode_source(self, image: Images, parsing: Parsing, heatmaps: Heatmaps, alpha: float = 1.0) -> Source:
        """What `decode` needs of a source, whatever the target; `alpha` must be the same in both calls."""
        require_divisible((image.shape[2], image.shape[3]), self.factor, type(self).__name__)
        maps = [foreground(parsing)] if self.reads_parsing else []
        inputs = Sizes([image, *maps, heatmaps])
        if self._reads_half(alpha):
            half = [halve_image(image), *(halve_parsing(each) for each in maps), halve_heatmaps(heatmaps)]
            inputs = Sizes(inputs.full, half)
        flat = self.flat_colour_input or "flat" in self.blend
        encoded = self.encode_inputs(inputs, alpha)
        return encoded._replace(
            colours=region_colours(image, parsing) if flat else None,
            image=image if "warped" in self.blend else None,
            background=fill_background(image, parsing) if "background" in self.blend else None,
        )

    def decode(
        self,
        source: Source,
        target_parsing: Parsing,
        target_heatmaps: Heatmaps,
        warps: PartWarps,
        alpha: float = 1.0,
        noise: Seeded | None = None,
    ) -> Images:
        """The encoded source in one target pose, with `noise` if its seeds say so."""
        maps = [foreground(target_parsing)] if self.reads_parsing else []
        others = {}
        if source.colours is not None:
            others["flat"] = paint(source.colours, target_parsing)
        if source.image is not None:
            others["warped"] = warp_features(source.image, warps)
        if source.background is not None:
            others["background"] = source.background
        if self.flat_colour_input:
            maps.append(others["flat"])
        inputs = Sizes([target_heatmaps, *maps])
        if self._reads_half(alpha):
            half = [halve_heatmaps(target_heatmaps), *(halve_parsing(each) for each in maps)]
            inputs = Sizes(inputs.full, half)
        return self.decode_inputs(source, inputs, warps, warps, alpha, [others[name] for name in self.blend], noise)

    def encode_inputs(self, inputs: Sizes, alpha: float) -> Source:
        """As `encode_source`, from the stacked (image 3, parsing 9, heat maps 18) channels."""
        if self.local_net is None:
            return Source(self.global_net.encode_source(inputs.full), None)
        first, local = _fade(self.global_net.source_encoder, self.local_net.source_encoder, inputs, alpha)
        return Source(self.global_net.source_encoder.descend(first), local)

    def decode_inputs(
        self,
        source: Source,
        inputs: Sizes,
        warps: PartWarps,
        half_warps: PartWarps,
        alpha: float,
        others: Sequence[Images] = (),
        noise: Seeded | None = None,
    ) -> Images:
        """As `decode`, from the stacked (heat maps 18, parsing 9[, flat colours 3]) channels.

        `half_warps` are those of the global network under the local enhancer; warps of the full size serve as well,
        since they carry the size that they are given at. `others` are the pictures of `config.blend`.
        """
        if self.local_net is None:
            features = self.global_net.decode(source.levels, self.global_net.encode_target(inputs.full), warps, noise)
            return _mix(self.global_net.head(features, slope=0.0), others)
        encoder = self.global_net.target_encoder
        first, local = _fade(encoder, self.local_net.target_encoder, inputs, alpha)
        features = self.global_net.decode(source.levels, encoder.descend(first), half_warps, noise)
        if local is None or source.local is None:
            return _mix(self._coarse(features), others)
        fine = _mix(self.local_net.decode(source.local, local, features, warps), others)
        return fine if alpha == 1 else alpha * fine + (1 - alpha) * _mix(self._coarse(features), others)

    def _reads_half(self, alpha: float) -> bool:
        """Whether the global network's first convolutions read anything (`_fade`)."""
        return self.local_net is not None and (alpha != 1 or torch.is_grad_enabled())

    def _coarse(self, features: list[Tensor]) -> Head:
        """The global network's head at the full size, from its decoder's features at half of it."""
        return self.global_net.head(interpolate(joined(features, 0.0), scale_factor=2.0, mode="nearest"))


def _mix(head: Head, others: Sequence[Images]) -> Images:
    """A head's own picture, mixed per pixel with others by the softmax of its further channels, the own one's being 0.

    So colours and texture that are right already need not be painted again.
    """
    own = tanh(head[:, :COLOURS])
    if not others:
        return own
    weights = torch.cat([torch.zeros_like(head[:, :1]), head[:, COLOURS:]], dim=1).softmax(dim=1)[:, :, None]
    return (weights * torch.stack([own, *others], dim=1)).sum(dim=1)


def _fade(global_encoder: Encoder, local_encoder: Encoder, inputs: Sizes, alpha: float) -> tuple[Tensor, Tensor | None]:
    """The global encoder's first features with the local one's second mixed in, and the local one's first.

    At `alpha` 0 the local encoder is left out, at 1 the global one's first convolution; in training it stays, as it
    then has a gradient, of zeros.
    """
    if alpha == 1 and not torch.is_grad_enabled():
        first, second = local_encoder(inputs.full)
        return second, first
    assert inputs.half is not None, "the global network under the local enhancer reads the inputs at half the size"
    own = global_encoder.stem(inputs.half)
    if alpha == 0:
        return own, None
    first, second = local_encoder(inputs.full)
    return (1 - alpha) * own + alpha * second, first
