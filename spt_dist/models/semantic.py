"""H_S, the semantic generator: a person's parsing map in another pose.

The authors never released theirs; this one is ours. It is the appearance generator's U-Net with a plain head: the
source encoder reads the source's parsing and heat maps, the target encoder the target's heat maps, and the source's
first levels are warped part by part. With `warped_input` the target encoder also reads the source's parsing,
part-warped: a first guess to correct. There is no dropout, since a map is a prediction and not a sample.
"""

from typing import NamedTuple

from torch import Tensor, nn

from spt_dist.body import Joint, Label
from spt_dist.config import Semantic
from spt_dist.geometry import PartWarps
from spt_dist.models.blocks import require_divisible
from spt_dist.models.inputs import Maps
from spt_dist.models.unet import UNet, warp_features
from spt_dist.types import Heatmaps, Parsing

WARPED_LEVELS = 4


class SourceMaps(NamedTuple):
    """An encoded source: serves any number of poses."""

    levels: list[Tensor]
    parsing: Parsing


class SemanticGenerator(nn.Module):
    """Source parsing and both poses -> logits of the target parsing.

    Image sizes must be multiples of `2 ** (len(config.widths) - 1)`; any other is a `ValueError`.
    """

    def __init__(self, config: Semantic) -> None:
        super().__init__()
        labels, joints = len(Label), len(Joint)
        self.warped_input = config.warped_input
        self.unet = UNet(
            source_channels=labels + joints,
            target_channels=joints + (labels if config.warped_input else 0),
            out_channels=labels,
            widths=config.widths,
            warped_levels=min(WARPED_LEVELS, len(config.widths)),
            dropout=0.0,
        )

    def forward(self, source_maps: Maps, target_heatmaps: Heatmaps, warps: PartWarps) -> Parsing:
        """Logits [b 10 h w]; their softmax is the parsing that H_A reads.

        `source_maps` are the source's parsing and heat maps; `warps` those from the source to the target.
        """
        return self.decode(self.encode_source(source_maps), target_heatmaps, warps)

    def encode_source(self, source_maps: Maps) -> SourceMaps:
        """What `decode` needs of a source, whatever the target."""
        height, width = source_maps.shape[2:]
        require_divisible((height, width), self.unet.factor, type(self).__name__)
        return SourceMaps(self.unet.encode_source(source_maps), source_maps[:, : len(Label)])

    def decode(self, source: SourceMaps, target_heatmaps: Heatmaps, warps: PartWarps) -> Parsing:
        """The logits of the encoded source in one target pose."""
        target = [target_heatmaps]
        if self.warped_input:
            target.append(warp_features(source.parsing, warps))
        return self.unet.head(self.unet.decode(source.levels, self.unet.encode_target(target), warps), slope=0.0)
