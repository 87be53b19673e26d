"""The shapes that training uses, by op and name: three sizes of picture, their batches and their networks' widths.

Features of the style loss are VGG's relu2_1: 128 channels at half the picture's size. Warps are those of the
generators' levels. Every size is (height, width) in px.
"""

from typing import NamedTuple

REGIONS = tuple(range(2, 10))  # labels of the style loss
JOINTS, PARTS = 18, 10


class Shape(NamedTuple):
    """Features [b c h w] of pictures of `image_size`."""

    batch: int
    channels: int
    height: int
    width: int
    image_size: tuple[int, int]

    def __str__(self) -> str:
        return f"B{self.batch} C{self.channels} {self.height}x{self.width}"


DEMO, MARKET, FASHION = (64, 48), (128, 64), (256, 256)
SHAPES: dict[str, dict[str, Shape]] = {
    "semantic_style_loss": {
        "256_b1": Shape(1, 128, 128, 128, FASHION),
        "256_b4": Shape(4, 128, 128, 128, FASHION),
        "128x64_b16": Shape(16, 128, 64, 32, MARKET),
        "64x48_b8": Shape(8, 128, 32, 24, DEMO),
    },
    "part_warp": {
        "256_c64_b1": Shape(1, 64, 256, 256, FASHION),
        "256_c64_b4": Shape(4, 64, 256, 256, FASHION),
        "256_c128_b1": Shape(1, 128, 128, 128, FASHION),
        "256_c128_b4": Shape(4, 128, 128, 128, FASHION),
        "128x64_c64_b16": Shape(16, 64, 128, 64, MARKET),
        "64x48_c16_b8": Shape(8, 16, 64, 48, DEMO),
    },
    "pose_maps": {  # heat maps and part masks
        "256_b8": Shape(8, JOINTS, 256, 256, FASHION),
        "128x64_b16": Shape(16, JOINTS, 128, 64, MARKET),
        "64x48_b8": Shape(8, JOINTS, 64, 48, DEMO),
    },
    "norm_act": {
        "256_b4": Shape(4, 128, 128, 128, FASHION),
        "128x64_b16": Shape(16, 128, 64, 32, MARKET),
        "64x48_b8": Shape(8, 32, 32, 24, DEMO),
    },
    "tile_conv": {  # 3x3, as many channels out as in: the pose detector's residual blocks, VGG's second convolution
        "256_c256_b2": Shape(2, 256, 64, 64, FASHION),
        "256_c64_b2": Shape(2, 64, 256, 256, FASHION),
    },
    "packed_conv": {  # the encoders' blocks
        "256_c64_b1": Shape(1, 64, 128, 128, FASHION),
        "256_c256_b1": Shape(1, 256, 32, 32, FASHION),
    },
    "packed_conv_transposed": {  # the decoders' last blocks
        "256_c256_b1": Shape(1, 256, 128, 128, FASHION),
        "256_c512_b1": Shape(1, 512, 64, 64, FASHION),
        "256_c1024_b1": Shape(1, 1024, 32, 32, FASHION),
    },
}
