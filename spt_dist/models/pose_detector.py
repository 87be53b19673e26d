"""The pose detector whose frozen heat maps tell where a generated person's joints are.

A residual network: reduce the size twice, `blocks` residual blocks, enlarge it twice, tanh. Convolutions in front of an
instance norm have no bias (it would be subtracted again).
"""

from jaxtyping import Float
from spt_kernels import tile_conv
from torch import Tensor, nn
from torch.nn.functional import tanh

from spt_dist.body import Joint
from spt_dist.config import PoseDetector as PoseDetectorConfig
from spt_dist.models.blocks import instance_norm, require_divisible
from spt_dist.types import Heatmaps, Images

FACTOR = 4  # two halvings


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv x)))), 3x3 with reflected borders."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """[b c h w] -> [b c h w]."""
        inner = instance_norm(tile_conv(x, self.first.weight, padding=1, reflect=True))
        return x + instance_norm(tile_conv(inner, self.second.weight, padding=1, reflect=True), slope=1.0)


class PoseDetector(nn.Module):
    """Image in [-1, 1] -> heat maps of the 18 joints, tanh of the last layer.

    Height and width must be multiples of 4, and 8 at least; any other size is a `ValueError`.
    """

    def __init__(self, config: PoseDetectorConfig) -> None:
        super().__init__()
        w = config.width
        self.first = nn.Conv2d(3, w, 7, padding=3, padding_mode="reflect", bias=False)
        self.downs = nn.ModuleList(
            nn.Conv2d(w * scale, w * scale * 2, 3, stride=2, padding=1, bias=False) for scale in (1, 2)
        )
        self.blocks = nn.ModuleList(ResidualBlock(4 * w) for _ in range(config.blocks))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(w * scale * 2, w * scale, 3, stride=2, padding=1, output_padding=1, bias=False)
            for scale in (2, 1)
        )
        self.last = nn.Conv2d(w, len(Joint), 7, padding=3, padding_mode="reflect")

    def forward(self, image: Images) -> Heatmaps:
        """Heat maps in (-1, 1), one per joint of `body.Joint`."""
        height, width = image.shape[2:]
        require_divisible((height, width), FACTOR, type(self).__name__)
        if min(height, width) < 2 * FACTOR:
            raise ValueError(f"PoseDetector cannot read {height}x{width} px; it needs 8x8 px at least")
        x = instance_norm(self.first(image))
        for down in self.downs:
            x = instance_norm(down(x))
        for block in self.blocks:
            x = block(x)
        for up in self.ups:
            x = instance_norm(up(x))
        return tanh(self.last(x))
