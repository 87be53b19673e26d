"""Every score against an independent computation."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from spt_dist import metrics, scripted
from spt_dist.body import MASK_LIMBS, Joint

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
SIZE = (40, 24)


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 256, (3, *SIZE, 3), generator=generator, dtype=torch.uint8)
    noise = torch.randint(-40, 40, truth.shape, generator=generator)
    return (truth.int() + noise).clamp(0, 255).to(torch.uint8), truth


@pytest.fixture
def joints():
    generator = torch.Generator().manual_seed(1)
    places = torch.rand(3, len(Joint), 2, generator=generator) * torch.tensor([SIZE[1] - 1.0, SIZE[0] - 1.0])
    return torch.cat([places, (torch.rand(3, len(Joint), 1, generator=generator) < 0.8).float()], 2)


def reference_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """skimage on mirrored margins as wide as the window, which are then cut off: no border rule of its own is left."""
    image, truth = (np.pad(picture, ((10, 10), (10, 10), (0, 0)), mode="reflect") for picture in (image, truth))
    _, full = structural_similarity(
        image, truth, channel_axis=2, data_range=255.0, gaussian_weights=True, sigma=1.5, truncate=3.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    return float(full[10:-10, 10:-10].mean())


def test_ssim(pictures):
    images, truth = pictures
    expected = [
        reference_ssim(a.numpy().astype(float), b.numpy().astype(float)) for a, b in zip(*pictures, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(images, truth), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.ssim(truth, truth), 1.0, atol=1e-6)


def test_masked_ssim_looks_only_at_the_pose(pictures, joints):
    images, truth = pictures
    half_width = metrics.mask_half_width_px(SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    far = np.ones((3, *SIZE), bool)  # farther from every joint and limb than the mask reaches, closing included
    for slot, person in enumerate(joints.numpy()):
        for a, b in [(j, j) for j in Joint] + list(MASK_LIMBS):
            if person[a, 2] and person[b, 2]:
                along = person[b, :2] - person[a, :2]
                t = ((x - person[a, 0]) * along[0] + (y - person[a, 1]) * along[1]) / max(along @ along, 1e-9)
                t = np.clip(t, 0, 1)
                distance = np.hypot(x - person[a, 0] - t * along[0], y - person[a, 1] - t * along[1])
                far[slot] &= distance > half_width + 8
    assert far.any()
    changed = torch.where(torch.from_numpy(far)[..., None], 255 - images, images)
    torch.testing.assert_close(metrics.masked_ssim(changed, truth, joints), metrics.masked_ssim(images, truth, joints))
    assert (metrics.ssim(changed, truth) != metrics.ssim(images, truth)).any()


def test_l1_inside(pictures):
    images, truth = pictures
    labels = torch.zeros(3, *SIZE, dtype=torch.uint8)
    labels[:, 10:20, 5:9] = 3
    inside = np.abs(images.numpy().astype(float) - truth.numpy())[:, 10:20, 5:9]
    np.testing.assert_allclose(metrics.l1_inside(images, truth, labels), inside.mean((1, 2, 3)), rtol=1e-5)
    assert metrics.l1_inside(images, truth, torch.zeros_like(labels)).tolist() == [0, 0, 0]


def test_mean_iou():
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randint(0, 4, (2, 9, 7), generator=generator, dtype=torch.uint8) for _ in range(2))
    expected = np.mean([((a == k) & (b == k)).sum() / ((a == k) | (b == k)).sum() for k in range(4)])
    assert metrics.mean_iou(a, b) == pytest.approx(expected, abs=1e-6)
    assert metrics.mean_iou(a, a) == 1.0


class Channels(torch.nn.Module):
    """A stand-in for Inception: features and logits that a test can compute by hand."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = x.float().flatten(2).mean(2)
        return means, means / 8


class FeaturesOnly(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().flatten(2).mean(2)


class Distance(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().flatten(1).mean(1)


def script(module: torch.nn.Module, path) -> str:
    example = (torch.zeros(1, 3, 8, 8),) * (2 if isinstance(module, Distance) else 1)
    torch.jit.save(torch.jit.trace(module, example), str(path))
    return str(path)


@pytest.mark.parametrize("batch", [2, 16])  # three pictures: a ragged last batch, and all at once
def test_fid_is_and_lpips_with_scripted_networks(pictures, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(metrics, "BATCH", batch)
    monkeypatch.setattr(scripted, "BATCH", batch)
    images, truth = pictures
    inception, distance = script(Channels(), tmp_path / "i.pt"), script(Distance(), tmp_path / "d.pt")
    a, b = (x.numpy().astype(float).mean((1, 2)) for x in pictures)
    ca, cb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(ca @ cb).real, 0)).sum()
    fid = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * roots
    assert metrics.frechet_distance(images, truth, inception) == pytest.approx(fid, rel=1e-3, abs=1e-3)
    p = np.exp((a - a.max(1, keepdims=True)) / 8)
    p /= p.sum(1, keepdims=True)
    score = np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    assert metrics.inception_score(images, inception) == pytest.approx(score, rel=1e-4)
    lpips = np.abs(images.numpy() / 127.5 - truth.numpy() / 127.5).mean((1, 2, 3))
    np.testing.assert_allclose(metrics.lpips(images, truth, distance), lpips, rtol=1e-4)


def test_features_alone_do_for_fid_but_not_for_is(pictures, tmp_path):
    both, alone = script(Channels(), tmp_path / "both.pt"), script(FeaturesOnly(), tmp_path / "alone.pt")
    assert metrics.frechet_distance(*pictures, alone) == metrics.frechet_distance(*pictures, both)
    with pytest.raises(scripted.MissingNetworkError, match=r"IS is not computed: .*alone\.pt` gives no logits"):
        metrics.inception_score(pictures[0], alone)


def test_a_missing_network_says_how_to_get_it(pictures, tmp_path):
    images, truth = pictures
    with pytest.raises(
        scripted.MissingNetworkError, match=r"FID is not computed: no path.*evaluation\.inception.*TorchScript"
    ):
        metrics.frechet_distance(images, truth, "")
    with pytest.raises(scripted.MissingNetworkError, match=r"LPIPS is not computed: `none\.pt` is not a file"):
        metrics.lpips(images, truth, "none.pt")
    (tmp_path / "broken.pt").write_bytes(b"no")
    with pytest.raises(scripted.MissingNetworkError, match="IS is not computed"):
        metrics.inception_score(images, str(tmp_path / "broken.pt"))
