"""The Gram matrices and the style loss made of them against the recorded ones, values and gradients."""

import numpy as np
import pytest
import torch
from spt_kernels import semantic_gram
from spt_kernels.semantic_gram import _triton, reference
from torch.testing import assert_close

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def recorded(golden):
    return {name: torch.from_numpy(array) for name, array in np.load(golden / "gram.npz").items()}


def assert_near(result, truth):
    """Within 1e-5 of the recording's largest magnitude, which is far below 1 here."""
    assert_close(result, truth, rtol=0, atol=1e-5 * truth.abs().max().item())


@pytest.mark.parametrize("gram", [reference.semantic_gram, semantic_gram, _triton.forward], ids=["ref", "op", "triton"])
def test_gram(recorded, gram):
    if gram is _triton.forward and torch.cuda.is_available():
        pytest.skip("the interpreter's run; a GPU's is among the kernel tests")
    assert_near(gram(recorded["fake_b"], recorded["mask_b"]), recorded["gram_fake_b"])


@pytest.mark.parametrize("gram", [reference.semantic_gram, semantic_gram], ids=["reference", "op"])
def test_style_loss_and_its_gradients(recorded, gram):
    visibility, mask_a, mask_b = (recorded[name] for name in ("visibility", "mask_a", "mask_b"))
    fake_a, fake_b = (recorded[name].clone().requires_grad_() for name in ("fake_a", "fake_b"))
    style_b = visibility * gram(fake_b, mask_b)
    real_fake = (style_b - visibility * gram(recorded["real_a"], mask_a)).square().mean()
    fake_fake = (visibility * gram(fake_a, mask_a) - style_b).square().mean()
    assert_near(real_fake, recorded["loss_real_a_fake_b"])
    assert_near(fake_fake, recorded["loss_fake_a_fake_b"])
    gradient_a, gradient_b = torch.autograd.grad(real_fake + fake_fake, (fake_a, fake_b))
    assert_near(gradient_a, recorded["grad_fake_a"])
    assert_near(gradient_b, recorded["grad_fake_b"])
