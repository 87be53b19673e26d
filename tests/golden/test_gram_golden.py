"""The Gram matrices and the style loss against the recorded ones, values and gradients."""

import numpy as np
import pytest
import torch
from spt_kernels import semantic_gram, semantic_gram_soft, semantic_style_loss
from spt_kernels.semantic_gram import _triton, reference
from torch.testing import assert_close

pytestmark = pytest.mark.golden

REGIONS = range(2, 10)


@pytest.fixture(scope="module")
def recorded(golden):
    arrays = {name: torch.from_numpy(array) for name, array in np.load(golden / "gram.npz").items()}
    return arrays | {f"labels_{x}": labels_of(arrays[f"mask_{x}"]) for x in "ab"}


def labels_of(masks):
    """A label map whose 2x2 averages are the masks: each region fills its share of a pixel's four, in turn."""
    b, _, h, w = masks.shape
    ends = (4 * masks).cumsum(1)[:, :, None]  # [b r 1 h w]
    place = (ends <= torch.arange(4.0)[:, None, None]).sum(1).to(torch.uint8)  # regions that end before: [b 4 h w]
    place = torch.where(place < len(REGIONS), place + REGIONS[0], 0)
    return place.view(b, 2, 2, h, w).permute(0, 3, 1, 4, 2).reshape(b, 2 * h, 2 * w)


def assert_near(result, truth):
    """Within 1e-5 of the recording's largest magnitude, which is far below 1 here."""
    assert_close(result, truth, rtol=0, atol=1e-5 * truth.abs().max().item())


def triton_gram(features, labels, regions):
    if torch.cuda.is_available():
        pytest.skip("the interpreter's run; a GPU's is among the kernel tests")
    grams = torch.empty(2, 8, 16, 16)
    _triton.forward(features, labels, regions, _triton.find(labels, regions, features.shape[2:]), grams)
    return grams


def test_the_label_maps_have_the_recorded_masks(recorded):
    for name in "ab":
        assert torch.equal(
            reference.region_masks(recorded[f"labels_{name}"], REGIONS, (32, 32)), recorded[f"mask_{name}"]
        )


@pytest.mark.parametrize("gram", [reference.semantic_gram_soft, semantic_gram_soft], ids=["reference", "op"])
def test_gram_of_masks(recorded, gram):
    assert_near(gram(recorded["fake_b"], recorded["mask_b"]), recorded["gram_fake_b"])


@pytest.mark.parametrize("gram", [reference.semantic_gram, semantic_gram, triton_gram], ids=["ref", "op", "triton"])
def test_gram_of_labels(recorded, gram):
    assert_near(gram(recorded["fake_b"], recorded["labels_b"], REGIONS), recorded["gram_fake_b"])


@pytest.mark.parametrize("form", ["reference", "op"])
def test_style_loss_and_its_gradients(recorded, form):
    real_a, fake_a, fake_b = (
        recorded[name].clone().requires_grad_(name != "real_a") for name in ("real_a", "fake_a", "fake_b")
    )
    if form == "op":
        loss = semantic_style_loss(fake_b, real_a, fake_a, recorded["labels_a"], recorded["labels_b"], REGIONS)
    else:
        loss = reference.semantic_style_loss(fake_b, real_a, fake_a, recorded["mask_a"], recorded["mask_b"])
    assert_near(loss, recorded["loss_real_a_fake_b"] + recorded["loss_fake_a_fake_b"])
    gradient_a, gradient_b = torch.autograd.grad(loss, (fake_a, fake_b))
    assert_near(gradient_a, recorded["grad_fake_a"])
    assert_near(gradient_b, recorded["grad_fake_b"])
