"""The networks that judge: patch discriminator, pose detector, frozen features."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from spt_dist.config import PerceptualFeatures as PerceptualFeaturesConfig
from spt_dist.config import PoseDetector as PoseDetectorConfig
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.features import CONVOLUTIONS, PerceptualFeatures
from spt_dist.models.inputs import to_float
from spt_dist.models.pose_detector import PoseDetector


def no_bias_before_a_norm(module: torch.nn.Module, free: set[str]) -> None:
    assert {name for name, _ in module.named_parameters() if name.endswith("bias")} == free


def test_a_patch_sees_only_its_surroundings() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(3, (4, 8))  # one halving: a patch of 4 + 2 * 6 = 16 px, without a norm's reach
    network.middle[0].weight.data.zero_()  # what is left is the first layer's bias: every patch scores the same
    scores = network(torch.randn(2, 3, 24, 16))
    assert scores.shape == (2, 1, 10, 6)
    assert_close(scores[:, :, 1:-1, 1:-1], network.last.bias.expand(2, 1, 8, 4))


def test_the_discriminator_learns_in_every_parameter() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(12, (4, 6, 8, 8))
    network(torch.randn(2, 12, 64, 48)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    no_bias_before_a_norm(network, {"first.bias", "last.bias"})


def test_the_smallest_picture_is_judged_and_a_smaller_one_refused() -> None:
    network = PatchDiscriminator(3, (4, 4, 4, 4))
    assert network(torch.randn(1, 3, 24, 24)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"cannot judge 64x23 px: with 4 widths it needs at least 24x24"):
        network(torch.randn(1, 3, 64, 23))


def test_the_pose_detector_keeps_the_size_and_learns_everywhere() -> None:
    torch.manual_seed(0)
    network = PoseDetector(PoseDetectorConfig(width=4, blocks=2))
    maps = network(torch.randn(2, 3, 20, 12).clamp(-1, 1))
    assert maps.shape == (2, 18, 20, 12)
    assert maps.abs().max() < 1
    maps.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    no_bias_before_a_norm(network, {"last.bias"})


@pytest.mark.parametrize(("size", "why"), [((30, 32), "multiples of 4; use 32x32"), ((4, 16), "8x8 px at least")])
def test_the_pose_detector_refuses_other_sizes(size: tuple[int, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PoseDetector(PoseDetectorConfig(width=4, blocks=1))(torch.zeros(1, 3, *size))


def random_features(normalise: bool = False) -> PerceptualFeatures:
    with pytest.warns(UserWarning, match="costs fidelity of texture"):
        return PerceptualFeatures(PerceptualFeaturesConfig(normalise=normalise))


def test_random_features_are_the_same_each_time_and_frozen() -> None:
    features = random_features()
    image = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.manual_seed(5)
    assert torch.equal(random_features()(image), features(image))
    assert list(features.parameters()) == []
    image.requires_grad_()
    features(image).square().mean().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0


def test_normalised_features_have_mean_square_one() -> None:
    smooth = torch.rand(8, 3, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = torch.nn.functional.interpolate(smooth, size=(64, 48), mode="bilinear")
    mean_square = random_features(normalise=True)(image).square().mean().item()
    assert 0.4 < mean_square < 2.5


def test_the_features_are_those_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{n}.weight": rng.normal(size=(o, i, 3, 3)).astype("f4") * 0.1 for n, o, i in CONVOLUTIONS}
    arrays |= {f"{n}.bias": rng.normal(size=o).astype("f4") for n, o, _ in CONVOLUTIONS}
    np.savez(tmp_path / "vgg.npz", **arrays)
    features = PerceptualFeatures(PerceptualFeaturesConfig(weights=str(tmp_path / "vgg.npz")))
    image = torch.rand(1, 3, 8, 10) * 2 - 1
    x = (image + 1) * 127.5 - torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    for index, (name, _, _) in enumerate(CONVOLUTIONS):
        weight, bias = torch.from_numpy(arrays[f"{name}.weight"]), torch.from_numpy(arrays[f"{name}.bias"])
        if index == 2:
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.nn.functional.conv2d(x, weight, bias, padding=1).relu()
    assert_close(features(image), x)


@pytest.mark.golden
def test_the_backbone_sees_photos_at_about_mean_square_one(data: Path) -> None:
    path = data / "backbones" / "vgg16_relu2_1.npz"
    features = PerceptualFeatures(PerceptualFeaturesConfig(weights=str(path), normalise=True))
    cv2 = pytest.importorskip("cv2")
    photos = [cv2.imread(str(p))[..., ::-1] for p in sorted((data / "ccp256" / "img").glob("*.jpg"))[:4]]
    mean_square = features(to_float(torch.from_numpy(np.stack(photos)))).square().mean().item()
    assert abs(math.log(mean_square)) < math.log(2.5)


def test_unusable_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read `networks.features.weights` = `nowhere.npz`"):
        PerceptualFeatures(PerceptualFeaturesConfig(weights="nowhere.npz"))
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(ValueError, match="cannot read"):
        PerceptualFeatures(PerceptualFeaturesConfig(weights=str(tmp_path / "text.npz")))
    np.savez(tmp_path / "other.npz", **{"features.0.weight": np.zeros((3, 3))})
    with pytest.raises(ValueError, match=r"holds \(3, 3\) as `features.0.weight`, VGG16 has \(64, 3, 3, 3\)"):
        PerceptualFeatures(PerceptualFeaturesConfig(weights=str(tmp_path / "other.npz")))
