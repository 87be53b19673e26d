"""Every spelling of the semantic Gram matrices against their definition, forward and backward, on ugly sizes."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import semantic_gram, semantic_gram_soft
from spt_kernels.semantic_gram import _triton, cpu, dense, op, reference
from spt_kernels.semantic_gram.cost import backward_cost, forward_cost
from torch.testing import assert_close

UNCHECKED = inspect.unwrap(semantic_gram)  # without the tests' checks of shapes
FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
SIZES = [  # b, c, h, w, factor, regions
    pytest.param(1, 1, 1, 1, 1, (2,), id="one pixel"),
    pytest.param(1, 2, 1, 1, 4, (0, 1, 2), id="one soft pixel"),
    pytest.param(2, 3, 5, 7, 2, (1, 4), id="odd"),
    pytest.param(1, 17, 8, 8, 4, (4, 2, 0), id="channels one past a block"),
    pytest.param(2, 4, 5, 13, 2, (0, 1, 2, 3, 4, 5, 6), id="rows and columns one past a tile"),
    pytest.param(1, 65, 9, 6, 1, (1, 3), id="two channel blocks"),
    pytest.param(1, 129, 4, 5, 2, (1, 3), id="two channel blocks in the backward too"),
    pytest.param(1, 8, 65, 52, 1, (2,), id="programs that wait for their turn"),
    pytest.param(1, 16, 32, 24, 2, (2, 3, 4, 5, 6, 7, 8, 9), id="a training shape"),
]
# Operands are the same rounded numbers on both sides and sums are float32. In half precision a weight of 3/4 rounds a
# product before it is summed, and the gradient is rounded once at the end.
ROUNDING = {torch.float32: 1e-5, torch.float16: 2 * 2**-11, torch.bfloat16: 2 * 2**-8}


def example(b, c, h, w, factor, regions, dtype=torch.float32):
    """Features, a label map in patches that cut through feature pixels, with one label absent; an upstream gradient."""
    generator = torch.Generator().manual_seed(b + c + h + w + factor)
    features = torch.randn(b, c, h, w, generator=generator).to(dtype)
    patches = torch.randint(0, 4, (b, h, w), generator=generator, dtype=torch.uint8)  # 4 and more are absent
    labels = patches.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, : h * factor, : w * factor]
    labels = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, : h * factor, : w * factor].contiguous()
    return features, labels, regions, torch.randn(b, len(regions), c, c, generator=generator)


def expected(features, labels, regions, grad):
    features = features.detach().float().requires_grad_()
    grams = reference.semantic_gram(features, labels, regions)
    return grams.detach(), torch.autograd.grad(grams, features, grad)[0]


def run(form, features, source, regions, grad):
    """Gram matrices and the gradient of the features; kernels run on the GPU where there is one."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    features, source, grad = features.to(device), source.to(device), grad.to(device)
    grams = torch.empty(grad.shape, dtype=torch.promote_types(features.dtype, torch.float32), device=device)
    form.forward(features, source, regions, form.find(source, regions, features.shape[2:]), grams)
    result = torch.empty_like(features)
    form.backward(grad + grad.mT, features, source, regions, result)
    return grams.cpu(), result.cpu()


def assert_equal(results, truths, tolerance=1e-5):
    for result, truth in zip(results, truths, strict=True):
        assert_close(
            result.to(truth.dtype), truth, rtol=tolerance, atol=tolerance * max(1e-6, truth.abs().max().item())
        )


def slow_gram(features, labels, regions):
    """The definition, pixel by pixel."""
    b, c, h, w = features.shape
    factor = labels.shape[1] // h
    grams = torch.zeros(b, len(regions), c, c, dtype=features.dtype)
    for sample in range(b):
        for r, label in enumerate(regions):
            for y in range(h):
                for x in range(w):
                    under = labels[sample, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
                    inside = features[sample, :, y, x] * (under == label).double().mean()
                    grams[sample, r] += torch.outer(inside, inside) / (h * w)
    return grams


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_reference_is_the_definition(factor):
    features, labels, regions, _ = example(2, 3, 5, 7, factor, (1, 0, 5))
    features = features.double()
    assert_close(reference.semantic_gram(features, labels, regions), slow_gram(features, labels, regions))


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "h", "w", "factor", "regions"), SIZES)
@FORMS
def test_equals_the_reference(form, b, c, h, w, factor, regions):
    inputs = example(b, c, h, w, factor, regions)
    assert_equal(run(form, *inputs), expected(*inputs))


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "h", "w", "factor", "regions"), SIZES)
@FORMS
def test_masks_give_what_their_labels_give(form, b, c, h, w, factor, regions):
    features, labels, regions, grad = inputs = example(b, c, h, w, factor, regions)
    masks = reference.region_masks(labels, regions, (h, w))
    for soft, hard in zip(run(form, features, masks, regions, grad), run(form, *inputs), strict=True):
        assert torch.equal(soft, hard)


@FORMS
def test_any_masks(form):
    features, _, _, grad = example(2, 5, 9, 4, 1, range(4))
    for masks in (torch.ones(2, 4, 9, 4), torch.zeros(2, 4, 9, 4), -torch.rand(2, 4, 9, 4)):
        grams = reference.semantic_gram_soft(features, masks)
        gradient = reference.semantic_gram_backward(grad + grad.mT, features, masks)
        assert_equal(run(form, features, masks, range(4), grad), (grams, gradient))


@pytest.mark.usefixtures("nan_filled_memory")
@FORMS
def test_any_strides(form):
    features, labels, regions, grad = example(2, 6, 9, 5, 2, (0, 1, 3))
    truth = expected(features, labels, regions, grad)
    for strided in (
        features.to(memory_format=torch.channels_last),
        features.mT.contiguous().mT,
        features.repeat_interleave(2, dim=1)[:, ::2],
        features[:1].expand(2, -1, -1, -1),
    ):
        assert not strided.is_contiguous()
        want = truth if torch.equal(strided, features) else expected(strided, labels, regions, grad)
        assert_equal(run(form, strided, labels, regions, grad), want)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@FORMS
def test_low_precision(form, dtype):
    for last in (torch.contiguous_format, torch.channels_last):
        features, *rest = example(2, 20, 9, 6, 2, (0, 1, 3), dtype)
        results = run(form, features.to(memory_format=last), *rest)
        assert [result.dtype for result in results] == [torch.float32, dtype]
        assert_equal(results, expected(features, *rest), ROUNDING[dtype])


@FORMS
def test_what_lies_in_no_region_is_never_loaded(form):
    features, labels, regions, grad = example(1, 5, 9, 6, 2, (1, 3))
    outside = reference.region_masks(labels, regions, (9, 6)).sum(1, keepdim=True) == 0
    assert outside.any()
    truth = expected(features, labels, regions, grad)
    for poison in (torch.nan, torch.inf):
        assert_equal(run(form, features.masked_fill(outside, poison), labels, regions, grad), truth)


@FORMS
def test_two_runs_are_bit_equal(form):
    inputs = example(1, 8, 65, 52, 2, (1, 2))
    for first, second in zip(run(form, *inputs), run(form, *inputs), strict=True):
        assert torch.equal(first, second)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.integers(1, 2), st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 2, 4]),
    st.integers(1, 4), st.integers(0, 99),
)  # fmt: skip
def test_any_label_map_gives_symmetric_positive_matrices(b, c, h, w, factor, labels_there, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(b, c, h, w, generator=generator)
    labels = torch.randint(0, labels_there, (b, h * factor, w * factor), generator=generator, dtype=torch.uint8)
    grams = semantic_gram(features, labels, range(4))
    assert_close(grams, reference.semantic_gram(features, labels, range(4)), rtol=1e-5, atol=1e-6)
    assert_close(grams, grams.mT, rtol=1e-6, atol=1e-7)
    assert torch.linalg.eigvalsh(grams.double()).min() > -1e-6
    assert not grams[:, labels_there:].any()
    if factor == 1:  # hard regions share the whole between them
        assert_close(grams.sum(1), features.flatten(2) @ features.flatten(2).mT / (h * w), rtol=1e-4, atol=1e-5)


def test_the_op_equals_the_reference_and_gives_masks_no_gradient():
    features, labels, regions, grad = example(2, 6, 9, 5, 2, (0, 1, 3))
    truth = expected(features, labels, regions, grad)
    features.requires_grad_()
    result = semantic_gram(features, labels, regions)
    assert_equal((result, torch.autograd.grad(result, features, grad)[0]), truth)
    masks = reference.region_masks(labels, regions, (9, 5)).requires_grad_()
    result = semantic_gram_soft(features, masks)
    assert_equal((result, torch.autograd.grad(result, features, grad)[0]), truth)
    assert torch.autograd.grad(semantic_gram_soft(features, masks).sum(), masks, allow_unused=True) == (None,)


def test_gradients_of_the_reference_and_of_the_op_are_right():
    features, labels, regions, grad = example(2, 3, 3, 4, 2, (0, 2))
    features = features.double().requires_grad_()
    masks = reference.region_masks(labels, regions, (3, 4), torch.float64)
    for function in (reference.semantic_gram, semantic_gram):
        assert torch.autograd.gradcheck(lambda x, function=function: function(x, labels, regions), features)
    for function in (reference.semantic_gram_soft, semantic_gram_soft):
        assert torch.autograd.gradcheck(lambda x, function=function: function(x, masks), features)
    wide = run(dense, features.detach(), labels, regions, grad.double())
    assert_equal(wide, run(cpu, features.detach().float(), labels, regions, grad))


def test_torch_accepts_the_op():
    features, labels, _, grad = example(2, 3, 3, 4, 2, (0, 2))
    masks = reference.region_masks(labels, (0, 2), (3, 4))
    for x in (features, features.to(memory_format=torch.channels_last)):
        for source, regions in ((labels, [0, 2]), (masks, [0, 1])):
            torch.library.opcheck(torch.ops.spt_kernels.semantic_gram, (x.clone().requires_grad_(), source, regions))
            torch.library.opcheck(torch.ops.spt_kernels.semantic_gram_backward, (grad, x, source, regions))


def test_the_op_compiles_as_one_graph(monkeypatch):
    monkeypatch.setattr(op, "check_labels", inspect.unwrap(op.check_labels))
    features, labels, regions, grad = example(2, 4, 5, 3, 2, (0, 2))
    features.requires_grad_()

    def both(function):
        grams = function(features, labels, regions)
        return grams, *torch.autograd.grad(grams, features, grad)

    compiled = torch.compile(UNCHECKED, fullgraph=True, backend="aot_eager")
    for result, truth in zip(both(compiled), both(UNCHECKED), strict=True):
        assert torch.equal(result, truth)


def test_what_does_not_fit_is_named():
    features, labels = torch.ones(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"`labels` are \(1, 12, 12\) but `features` are \(1, 2, 4, 4\)"):
        semantic_gram(features, torch.zeros(1, 12, 12, dtype=torch.uint8), [1])
    with pytest.raises(ValueError, match=r"`regions` are \[1, 256\]; name at least one label"):
        semantic_gram(features, labels, [1, 256])
    with pytest.raises(ValueError, match=r"`labels` are torch.int64; give torch.uint8"):
        UNCHECKED(features, labels.long(), [1])
    with pytest.raises(ValueError, match=r"`features` are \(1, 2, 4, 4\) but `masks` are \(1, 3, 8, 8\)"):
        inspect.unwrap(semantic_gram_soft)(features, torch.ones(1, 3, 8, 8))


def test_the_floor_counts_pixels_in_regions_only():
    features, labels = torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, 0, :3] = torch.tensor([1, 2, 2])  # pixel 0 lies in both regions, pixel 1 in region 2
    assert forward_cost(features, labels, (1, 2)) == (2 * 4 * 4 + 16 + 2 * 4 * 4 * 4, 3 * 2 * 4 * 4)
    assert backward_cost(features, labels, (1, 2)) == (2 * 4 * 4 + 16 + 2 * 4 * 4 * 4 + 4 * 4 * 4, 3 * 2 * 4 * 4)
