"""Shapes and their letters, spelled once.

`b` batch, `c` channels, `h w` pixels, `k` joints (18), `l` labels (10), `p` warp parts (10).
Inside the networks images are float in [-1, 1]; outside (files, loaders, endpoints) they are uint8.
Joints are (x_px, y_px, visible); pixel centres lie on integers; a missing joint is (-1, -1, 0).
"""

from jaxtyping import Float, UInt8
from torch import Tensor

Images = Float[Tensor, "b 3 h w"]
Parsing = Float[Tensor, "b 10 h w"]
Heatmaps = Float[Tensor, "b 18 h w"]
Joints = Float[Tensor, "b 18 3"]
Transforms = Float[Tensor, "b p 2 3"]
Quads = Float[Tensor, "b p 4 2"]
Features = Float[Tensor, "b c h w"]
Scalar = Float[Tensor, ""]

ImageBytes = UInt8[Tensor, "b h w 3"]
LabelBytes = UInt8[Tensor, "b h w"]
