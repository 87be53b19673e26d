import math

import pytest
import torch

from spt_dist import region_metrics
from spt_dist.body import Label


def person(size=(24, 16)):
    """A picture with stripes on the upper clothes, plain pants, and a background that is not scored."""
    labels = torch.zeros(1, *size, dtype=torch.uint8)
    labels[:, 4:12, 3:13], labels[:, 12:20, 3:13] = Label.UPPER, Label.PANTS
    image = torch.full((1, *size, 3), 200, dtype=torch.uint8)
    image[:, 4:12, 3:13:2], image[:, 4:12, 4:13:2] = 40, 120
    image[:, 12:20, 3:13] = 60
    return image, labels


def test_the_true_picture_scores_best_whatever_its_background():
    image, labels = person()
    elsewhere = torch.where(labels[..., None] == 0, torch.zeros_like(image), image)
    assert region_metrics.region_colour_error(elsewhere, image, labels).item() == 0
    assert region_metrics.texture_correlation(elsewhere, image, labels).item() == pytest.approx(1)
    assert region_metrics.texture_contrast(elsewhere, image, labels).item() == pytest.approx(1)
    assert region_metrics.ssim_inside(image, image, labels).item() == pytest.approx(1)


def test_each_score_sees_its_own_fault():
    image, labels = person()
    flat = image.clone()
    flat[:, 4:12, 3:13] = 80  # the mean of the stripes
    assert region_metrics.region_colour_error(flat, image, labels).item() == pytest.approx(0)
    assert region_metrics.texture_correlation(flat, image, labels).item() == pytest.approx(0, abs=1e-4)
    assert region_metrics.texture_contrast(flat, image, labels).item() == pytest.approx(0, abs=1e-3)
    darker = image.clone()
    darker[:, 12:20, 3:13] = 30
    assert region_metrics.region_colour_error(darker, image, labels).item() == pytest.approx(15)  # 30 in one of two
    moved = image.clone()
    moved[:, 4:12, 3:13:2], moved[:, 4:12, 4:13:2] = 120, 40
    assert region_metrics.texture_correlation(moved, image, labels).item() == pytest.approx(-1)
    assert region_metrics.texture_contrast(moved, image, labels).item() == pytest.approx(1)
    assert region_metrics.ssim_inside(moved, image, labels) < region_metrics.ssim_inside(flat, image, labels)


def test_plain_clothes_have_no_texture_to_score():
    image, labels = person()
    labels[labels == Label.UPPER] = Label.FACE
    assert math.isnan(region_metrics.texture_correlation(image, image, labels).item())
    assert math.isnan(region_metrics.texture_contrast(image, image, labels).item())
