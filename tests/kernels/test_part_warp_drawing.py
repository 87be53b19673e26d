"""`part_warp` where nothing is trained: channels-last maps, to the same bits."""

import pytest
import torch
from spt_kernels import part_warp
from spt_kernels.part_warp import op, reference
from torch.testing import assert_close
from warps import SIZES, example


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "p", "h", "w"), SIZES)
def test_a_network_that_draws_warps_channels_last_maps_to_the_same_bits(b, c, p, h, w):
    features, transforms, quads, _ = example(b, c, p, h, w)
    size = (2 * h, 2 * w)
    features.view(-1)[0] = torch.nan  # stays seen
    truth = part_warp(features.requires_grad_(), transforms, quads, size)
    with torch.no_grad():
        found = part_warp(features.contiguous(memory_format=torch.channels_last), transforms, quads, size)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_close(found, truth.detach(), rtol=0, atol=0, equal_nan=True)


def test_torch_knows_the_channels_last_form():
    features, transforms, quads, _ = example(2, 3, 4, 5, 7)
    ndc = reference.ndc_transforms(transforms, (5, 7), (10, 14))
    last = features.contiguous(memory_format=torch.channels_last)
    torch.library.opcheck(op._warp_last, (last, ndc, quads, 10, 14))
