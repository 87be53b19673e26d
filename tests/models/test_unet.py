import pytest
import torch
from torch.testing import assert_close

from spt_dist.geometry import PartWarps, frame_quads
from spt_dist.models import blocks
from spt_dist.models.blocks import PictureHead, ScalarLayerNorm
from spt_dist.models.unet import UNet, warp_features

WIDTHS = (4, 6, 8)


def unchanged(batch: int, size: tuple[int, int]) -> PartWarps:
    """One warp that leaves everything where it is."""
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(batch, 1, 2, 3)
    return PartWarps(identity, frame_quads(identity, size), size)


def shifted(batch: int, size: tuple[int, int], pixels: float) -> PartWarps:
    warps = unchanged(batch, size)
    return warps._replace(transforms=warps.transforms + torch.tensor([[0.0, 0.0, pixels], [0.0, 0.0, 0.0]]))


def test_the_norm_is_over_the_whole_sample_with_scalar_weight_and_bias() -> None:
    norm = ScalarLayerNorm()
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(0.5)
    x = torch.randn(3, 5, 4, 7, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, unbiased=False)
    assert_close(norm(x), 2 * (x - mean) / (variance + 1e-3).sqrt() + 0.5)


@pytest.mark.parametrize("outputs", [1, 3, 10])
@pytest.mark.parametrize("many_px", [1, 1_000])
def test_a_picture_head_is_a_convolution(outputs: int, many_px: int, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "MANY_PX", many_px)
    torch.manual_seed(0)
    head, x = PictureHead(6, outputs), torch.randn(2, 6, 5, 9, requires_grad=True)
    leaves = (x, head.weight, head.bias)
    expected = torch.nn.functional.conv2d(x, head.weight, head.bias, padding=1)
    assert_close(head(x), expected)
    grad = torch.randn_like(expected)
    assert_close(torch.autograd.grad(head(x), leaves, grad), torch.autograd.grad(expected, leaves, grad))


def test_warped_features_are_sampled_where_the_transform_points() -> None:
    features = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert_close(warp_features(features, unchanged(2, (32, 32))), features, atol=1e-5, rtol=0)
    moved = warp_features(features, shifted(2, (32, 32), pixels=2 * 16 / 15))  # one feature: (w - 1) / w of two px
    assert_close(moved[..., :-1], features[..., 1:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_only_the_first_levels_of_the_source_are_warped() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(1, 2, 16, 8), torch.randn(1, 5, 16, 8)
    still, moved = unchanged(1, (16, 8)), shifted(1, (16, 8), pixels=3.0)
    unwarped = UNet(2, 5, 7, WIDTHS, warped_levels=0, dropout=0.0)
    assert torch.equal(unwarped(source, target, still), unwarped(source, target, moved))
    warped = UNet(2, 5, 7, WIDTHS, warped_levels=1, dropout=0.0)
    warped.load_state_dict(unwarped.state_dict())
    assert_close(warped(source, target, still), unwarped(source, target, still), atol=1e-5, rtol=1e-5)
    assert (warped(source, target, moved) - unwarped(source, target, still)).abs().max() > 1e-3


def test_dropout_acts_in_training_and_follows_the_seed() -> None:
    torch.manual_seed(0)
    network = UNet(2, 2, 3, WIDTHS, warped_levels=1, dropout=0.5)
    x, warps = torch.randn(1, 2, 8, 8), unchanged(1, (8, 8))
    torch.manual_seed(1)
    first, second = network(x, x, warps), network(x, x, warps)
    torch.manual_seed(1)
    assert torch.equal(network(x, x, warps), first)
    assert not torch.equal(first, second)
    network.eval()
    assert torch.equal(network(x, x, warps), network(x, x, warps))


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = UNet(2, 3, 4, WIDTHS, warped_levels=2, dropout=0.0)
    network(torch.randn(2, 2, 8, 12), torch.randn(2, 3, 8, 12), unchanged(2, (8, 12))).square().mean().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert still == []


def test_more_warped_levels_than_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="`warped_levels` is 4 but `widths`"):
        UNet(2, 2, 3, WIDTHS, warped_levels=4, dropout=0.0)
