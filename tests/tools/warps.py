"""Sizes and inputs for the part warp's tests."""

import pytest
import torch

SIZES = [  # b, c, p, h, w
    pytest.param(1, 1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 2, 3, 1, 5, id="one row"),
    pytest.param(2, 2, 3, 5, 1, id="one column"),
    pytest.param(2, 3, 4, 5, 7, id="odd"),
    pytest.param(1, 17, 3, 4, 4, id="channels one past a block"),
    pytest.param(2, 4, 10, 5, 13, id="pixels one past a block"),
    pytest.param(1, 16, 10, 16, 12, id="a training shape"),
]


def example(b, c, p, h, w, dtype=torch.float32, image_size=None):
    """Features, maps in px of a picture (of twice the size), corners of the parts in it, and an upstream gradient.

    Part 0 is everywhere, as the body is; the last part maps out of the picture, the one before it is absent.
    """
    height, width = image_size or (2 * h, 2 * w)
    generator = torch.Generator().manual_seed(b + c + p + h + w)
    features = torch.randn(b, c, h, w, generator=generator, dtype=dtype)
    transforms = 0.3 * torch.randn(b, p, 2, 3, generator=generator, dtype=dtype)
    transforms += torch.eye(2, 3, dtype=dtype)
    transforms[..., 2] *= 6
    quads = torch.rand(b, p, 4, 2, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    quads *= torch.tensor([width, height])
    if p > 1:
        quads[:, 0] = torch.tensor([[-1, -1], [width, -1], [width, height], [-1, height]])
        transforms[:, -1, :, 2] = 1000
    if p > 2:
        quads[:, -2] = torch.nan
    return features, transforms, quads, torch.randn(b, c, h, w, generator=generator, dtype=dtype)
