"""The patch discriminator: one network shape for images, faces and parsing maps.

It judges overlapping patches instead of the whole picture. The published one has a bias in every convolution; those in
front of an instance norm are without effect (the norm subtracts them) and only drift under Adam, so ours has none.
"""

from collections.abc import Sequence

from jaxtyping import Float
from spt_kernels import tile_conv
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from spt_dist.models.blocks import LEAK, instance_norm
from spt_dist.types import Features

KERNEL = 4


class PatchDiscriminator(nn.Module):
    """4x4 convolutions of stride 2 (the last of `widths`: 1), instance norm on all but the first, one score a patch.

    For a picture with its parsing `in_channels` is 12 (image 3, parsing 9).
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.halvings = len(widths) - 1
        self.first = nn.Conv2d(in_channels, widths[0], KERNEL, stride=2, padding=1)
        last = len(widths) - 1
        self.middle = nn.ModuleList(
            nn.Conv2d(widths[i - 1], widths[i], KERNEL, stride=1 if i == last else 2, padding=1, bias=False)
            for i in range(1, len(widths))
        )
        self.last = nn.Conv2d(widths[-1], 1, KERNEL, padding=1)

    def forward(self, x: Features) -> Float[Tensor, "b 1 i j"]:
        """Scores of the patches of x [b c h w]: 30x30 for 256x256 at four widths.

        Raises:
            ValueError: the picture is too small for one patch.
        """
        height, width = x.shape[2:]
        least = 3 * 2**self.halvings
        if min(height, width) < least:
            raise ValueError(
                f"PatchDiscriminator cannot judge {height}x{width} px: with {self.halvings + 1} widths it needs at "
                f"least {least}x{least}; use fewer `discriminator.widths`"
            )
        x = leaky_relu(self.first(x), LEAK, inplace=True)
        for conv in self.middle[:-1]:
            x = instance_norm(conv(x), slope=LEAK)
        x = instance_norm(tile_conv(x, self.middle[-1].get_parameter("weight"), padding=1), slope=LEAK)
        return self.last(x)
