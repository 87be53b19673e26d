"""Frozen features: the first three convolutions of VGG16, up to relu2_1, in which content and style are compared.

Its weights come from a file. Without one a seeded random network of the same shape stands in: it still compares colours
and edges, but it has seen no pictures, so texture and content are judged worse.
"""

import warnings
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from spt_kernels import tile_conv
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu_

from spt_dist.config import PerceptualFeatures as PerceptualFeaturesConfig
from spt_dist.types import Images

# (name in torchvision's VGG16, output channels, input channels)
CONVOLUTIONS = (("features.0", 64, 3), ("features.2", 64, 64), ("features.5", 128, 64))
MEAN_RGB = (123.68, 116.779, 103.939)  # subtracted from RGB in 0..255; torchvision's own normalisation is another
RANDOM_SEED = 0
# The root mean square of relu2_1 on photos; by He's initialisation the random network's is alike, within a factor of 2.
TYPICAL_RMS = 67.0


class PerceptualFeatures(nn.Module):
    """relu2_1 of a VGG16; frozen: it has no parameters, gradients reach the image only.

    Raises:
        ValueError: the weights' file is missing, unreadable, or holds other shapes.
    """

    mean: Tensor

    def __init__(self, config: PerceptualFeaturesConfig) -> None:
        super().__init__()
        weights = _read(config.weights) if config.weights else _random()
        self.scale = 1 / TYPICAL_RMS if config.normalise else 1.0
        self.register_buffer("mean", torch.tensor(MEAN_RGB)[:, None, None], persistent=False)
        for index, (name, _, _) in enumerate(CONVOLUTIONS):
            self.register_buffer(f"weight{index}", weights[f"{name}.weight"], persistent=False)
            self.register_buffer(f"bias{index}", weights[f"{name}.bias"], persistent=False)

    def forward(self, image: Images) -> Float[Tensor, "b 128 i j"]:
        """Features at half the size of images in [-1, 1]; with `normalise`, their mean square is about 1."""
        x = (image + 1) * 127.5 - self.mean
        x = relu_(self._conv(0, x))
        x = relu_(self._conv(1, x))
        x = relu_(self._conv(2, max_pool2d(x, 2)))
        return x * self.scale if self.scale != 1 else x

    def _conv(self, index: int, x: Tensor) -> Tensor:
        return tile_conv(x, self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}"), padding=1)


def _read(path: str) -> dict[str, Tensor]:
    try:
        with np.load(Path(path), allow_pickle=False) as arrays:
            weights = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"cannot read `networks.features.weights` = `{path}`: {error}; give an .npz of VGG16's first three "
            "convolutions under torchvision's names (`features.0.weight`, ...), or leave it empty for random features"
        ) from None
    for name, out_channels, in_channels in CONVOLUTIONS:
        for key, shape in ((f"{name}.weight", (out_channels, in_channels, 3, 3)), (f"{name}.bias", (out_channels,))):
            found = tuple(weights[key].shape) if key in weights else "nothing"
            if found != shape:
                raise ValueError(f"`{path}` holds {found} as `{key}`, VGG16 has {shape}; give torchvision's names")
    return weights


def _random() -> dict[str, Tensor]:
    warnings.warn(
        "`networks.features.weights` is empty: content and style are compared in a random network's features, which "
        "costs fidelity of texture; give the path of VGG16's weights (.npz, torchvision's names, up to `features.5`)",
        stacklevel=3,
    )
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    weights = {}
    for name, out_channels, in_channels in CONVOLUTIONS:
        drawn = torch.randn(out_channels, in_channels, 3, 3, generator=generator)
        weights[f"{name}.weight"] = drawn * (2 / (9 * in_channels)) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(out_channels)
    return weights
