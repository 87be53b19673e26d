"""Every spelling of `semantic_gram` against its definition, forward and backward, on ugly sizes."""

import inspect

import pytest
import torch
from spt_kernels import semantic_gram
from spt_kernels.semantic_gram import _triton, cpu, reference
from torch.testing import assert_close

SIZES = [  # b, c, r, h, w
    pytest.param(1, 1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 3, 2, 5, 7, id="odd"),
    pytest.param(1, 17, 3, 8, 8, id="channels one past a block"),
    pytest.param(2, 4, 8, 5, 13, id="pixels one past a block"),
    pytest.param(2, 65, 8, 16, 12, id="two channel tiles"),
    pytest.param(1, 16, 8, 32, 24, id="a training shape"),
]


def example(b, c, r, h, w, dtype=torch.float32):
    """Features, soft masks of disjoint regions (one of them empty) and an upstream gradient."""
    generator = torch.Generator().manual_seed(b + c + r + h + w)
    features = torch.randn(b, c, h, w, generator=generator, dtype=dtype)
    labels = torch.randint(0, r + 2, (b, 1, h, w), generator=generator)
    soft = torch.rand(b, r, h, w, generator=generator, dtype=dtype)
    masks = (labels == torch.arange(r)[:, None, None]) * soft
    masks[0, -1] = 0
    return features, masks, torch.randn(b, r, c, c, generator=generator, dtype=dtype)


def expected(features, masks, grad):
    features = features.detach().clone().requires_grad_()
    grams = reference.semantic_gram(features, masks)
    return grams.detach(), torch.autograd.grad(grams, features, grad)[0]


def run(form, features, masks, grad):
    """Gram matrices and the gradient of the features; kernels run on the GPU where there is one."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    features, masks, grad = (tensor.to(device) for tensor in (features, masks, grad))
    return form.forward(features, masks).cpu(), form.backward(grad, features, masks).cpu()


def assert_equal(results, truths):
    for result, truth in zip(results, truths, strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "r", "h", "w"), SIZES)
@pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
def test_equals_the_reference(form, b, c, r, h, w):
    features, masks, grad = example(b, c, r, h, w)
    assert_equal(run(form, features, masks, grad), expected(features, masks, grad))


@pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
def test_any_strides(form):
    features, masks, grad = example(2, 6, 3, 6, 5)
    truth = expected(features, masks, grad)
    for strided in (
        features.to(memory_format=torch.channels_last),
        features.mT.contiguous().mT,
        features.repeat_interleave(2, dim=1)[:, ::2],
    ):
        assert not strided.is_contiguous()
        assert_equal(run(form, strided, masks.mT.contiguous().mT, grad.mT.contiguous().mT), truth)


@pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
def test_overlapping_and_empty_regions(form):
    features, _, grad = example(2, 5, 4, 4, 4)
    for masks in (torch.ones(2, 4, 4, 4), torch.zeros(2, 4, 4, 4), -torch.rand(2, 4, 4, 4)):
        assert_equal(run(form, features, masks, grad), expected(features, masks, grad))


def test_the_op_equals_the_reference_and_gives_masks_no_gradient():
    features, masks, grad = example(2, 6, 3, 6, 5)
    grams, gradient = expected(features, masks, grad)
    features.requires_grad_()
    masks.requires_grad_()
    result = semantic_gram(features, masks)
    assert_close(result, grams, rtol=1e-5, atol=1e-6)
    assert_close(torch.autograd.grad(result, features, grad)[0], gradient, rtol=1e-5, atol=1e-6)
    assert torch.autograd.grad(semantic_gram(features, masks).sum(), masks, allow_unused=True) == (None,)


def test_half_precision_features_give_float32_grams_and_half_gradients():
    features, masks, grad = example(2, 6, 3, 6, 5)
    low = features.bfloat16().requires_grad_()
    grams, gradient = expected(low.detach().float(), masks, grad)
    result = semantic_gram(low, masks)
    assert_close(result, grams, rtol=1e-5, atol=1e-6)
    low_gradient = torch.autograd.grad(result, low, grad)[0]
    assert low_gradient.dtype == torch.bfloat16
    assert_close(low_gradient.float(), gradient, rtol=1e-2, atol=1e-2)


def test_gradients_of_the_reference_and_of_the_op_are_right():
    features, masks, grad = example(2, 3, 2, 3, 4, dtype=torch.float64)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference.semantic_gram(x, masks), features)
    assert torch.autograd.gradcheck(lambda x: semantic_gram(x, masks), features)
    _, gradient = expected(features, masks, grad)
    assert_close(reference.semantic_gram_backward(grad, features.detach(), masks), gradient)


def test_torch_accepts_the_op():
    features, masks, grad = example(2, 3, 2, 3, 4)
    torch.library.opcheck(torch.ops.spt_kernels.semantic_gram, (features.requires_grad_(), masks))
    torch.library.opcheck(torch.ops.spt_kernels.semantic_gram_backward, (grad, features.detach(), masks))


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"`features` are \(1, 2, 4, 4\) but `masks` are \(1, 3, 8, 8\)"):
        inspect.unwrap(semantic_gram)(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 8, 8))
