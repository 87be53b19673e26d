"""The U-Net with two encoders and deformable skips that both generators share.

One encoder reads the source, one the target. The first levels of the source's features are moved part by part to where
the target pose has those parts; the decoder reads, at each level, its own features, the moved source's and the
target's.
"""

from collections.abc import Sequence

from jaxtyping import Float
from spt_kernels import part_warp
from torch import Tensor, nn

from spt_dist.geometry import PartWarps
from spt_dist.models.blocks import Conv, DownBlock, PictureHead, UpBlock
from spt_dist.models.noise import Seeded
from spt_dist.types import Features

DROPOUT_BLOCKS = 3  # the first decoder blocks, which drop channels


class Encoder(nn.Module):
    """A 3x3 convolution, then blocks that halve the size; gives every level's features."""

    def __init__(self, in_channels: int, widths: Sequence[int], norm_last: bool = False) -> None:
        super().__init__()
        self.stem = Conv(in_channels, widths[0], 3)
        last = len(widths) - 1
        self.downs = nn.ModuleList(
            DownBlock(widths[level - 1], widths[level], norm=level < last or norm_last)
            for level in range(1, len(widths))
        )

    def forward(self, x: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Maps side by side, [b in_i h w] -> levels [b widths[i] h/2^i w/2^i]."""
        return self.descend(self.stem(x))

    def descend(self, first: Features) -> list[Tensor]:
        """All levels, from the first one's features."""
        levels = [first]
        for down in self.downs:
            levels.append(down(levels[-1]))
        return levels


class UNet(nn.Module):
    """Two encoders, part-warped skips, one decoder and a plain 3x3 convolution as head.

    The decoder's block towards level i has `widths[i + 1]` channels. Heights and widths must be multiples of `factor`;
    the generators check it.

    Raises:
        ValueError: more warped levels than there are levels.
    """

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        out_channels: int,
        widths: Sequence[int],
        warped_levels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if warped_levels > len(widths):
            raise ValueError(
                f"`warped_levels` is {warped_levels} but `widths` {tuple(widths)} has {len(widths)} levels; "
                "warp at most as many as there are"
            )
        self.warped_levels = warped_levels
        self.factor = 2 ** (len(widths) - 1)
        self.source_encoder = Encoder(source_channels, widths)
        self.target_encoder = Encoder(target_channels, widths)
        ups, from_below = [], 0
        for block, level in enumerate(reversed(range(1, len(widths)))):
            rate = dropout if block < DROPOUT_BLOCKS else 0.0
            ups.append(UpBlock(from_below + 2 * widths[level], widths[level], rate))
            from_below = widths[level]
        self.ups = nn.ModuleList(ups)
        self.head = PictureHead(from_below + 2 * widths[0], out_channels)

    def forward(
        self, source: Float[Tensor, "b s h w"], target: Float[Tensor, "b t h w"], warps: PartWarps
    ) -> Float[Tensor, "b out h w"]:
        """The head's output, without a final nonlinearity."""
        return self.head(self.decode(self.encode_source(source), self.encode_target(target), warps), slope=0.0)

    def encode_source(self, source: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """The source's levels, not yet warped: one source serves many poses."""
        return self.source_encoder(source)

    def encode_target(self, target: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """The target's levels."""
        return self.target_encoder(target)

    def decode(
        self, source: list[Tensor], target: list[Tensor], warps: PartWarps, noise: Seeded | None = None
    ) -> list[Tensor]:
        """The features under the head, side by side and not yet rectified: widths[1], widths[0], widths[0].

        `noise` is as `UpBlock` takes it.
        """
        skips = [*zip(self._warp(source, warps), target, strict=True)]
        x = [*skips.pop()]
        for up in self.ups:
            x = [up(x, noise), *skips.pop()]
        return x

    def _warp(self, levels: list[Tensor], warps: PartWarps) -> list[Tensor]:
        return [warp_features(level, warps) for level in levels[: self.warped_levels]] + levels[self.warped_levels :]


def warp_features(features: Features, warps: PartWarps) -> Features:
    """Move features [b c h w] part by part to the target pose; `warps` may be given at any image size."""
    return part_warp(features, warps.transforms, warps.quads, warps.size)
