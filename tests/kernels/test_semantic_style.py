"""Every spelling of the semantic style loss against its definition, value and gradients."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import semantic_gram, semantic_style_loss
from spt_kernels.semantic_gram import _triton, cpu, dense, op, reference, style
from spt_kernels.semantic_gram.cost import backward_cost, forward_cost, style_backward_cost, style_forward_cost
from torch.testing import assert_close

UNCHECKED = inspect.unwrap(semantic_style_loss)  # without the tests' checks of shapes
FORMS = pytest.mark.parametrize("form", [cpu, dense, _triton], ids=["cpu", "dense", "triton"])
BY_AREA = pytest.mark.parametrize("by_area", [False, True])
REGIONS = (0, 1, 3, 5)  # 5 is in no map, 3 in B's only
SIZES = [  # b, c, h, w, factor
    pytest.param(1, 1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 3, 5, 7, 2, id="odd"),
    pytest.param(1, 17, 9, 4, 4, id="channels one past a block"),
    pytest.param(2, 65, 8, 12, 2, id="one past a block of matrices"),
]
# Of the largest magnitude. A product is rounded once in half precision; the loss then subtracts matrices of one size.
ROUNDING = {torch.float32: 1e-5, torch.float16: 8 * 2**-11, torch.bfloat16: 8 * 2**-8}


def example(b, c, h, w, factor, dtype=torch.float32):
    """Features of B^, A and A^, and the label maps of A and of B."""
    generator = torch.Generator().manual_seed(b + c + h + w + factor)
    features = [torch.randn(b, c, h, w, generator=generator).to(dtype) for _ in range(3)]
    size = (b, h * factor, w * factor)
    labels = [torch.randint(0, high, size, generator=generator, dtype=torch.uint8) for high in (3, 4)]
    return features, labels


def expected(features, labels, by_area, needed=(True, True, True)):
    inputs = [x.detach().float().requires_grad_(need) for x, need in zip(features, needed, strict=True)]
    masks = [reference.region_masks(x, REGIONS, features[0].shape[2:]) for x in labels]
    loss = reference.semantic_style_loss(*inputs, *masks, by_area)
    return loss.detach(), *torch.autograd.grad(loss, [x for x in inputs if x.requires_grad])


def run(form, features, labels, by_area):
    """The loss and the gradient of all features; kernels run on the GPU where there is one."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    features, (labels_a, labels_b) = [x.to(device) for x in features], (x.to(device) for x in labels)
    (b, c, h, w), maps = features[0].shape, (labels_b, labels_a, labels_a)
    if form is dense:
        features = [x.double() for x in features]
    precision = torch.promote_types(features[0].dtype, torch.float32)
    grams = torch.empty(3, b, len(REGIONS), c, c, dtype=precision, device=device)
    found = [form.find(x, REGIONS, (h, w)) for x in (labels_a, labels_b)]
    for x, source, where, gram in zip(features, maps, (found[1], found[0], found[0]), grams, strict=True):
        form.forward(x, source, REGIONS, where, gram)
    loss = form.compare(grams, *found, h * w, by_area)
    gradients = [torch.empty_like(x) for x in features]
    for pull, x, source, gradient in zip(grams, features, maps, gradients, strict=True):
        form.backward(pull, x, source, REGIONS, gradient)
    return [x.cpu() for x in (loss, *gradients)]


def assert_equal(results, truths, tolerance=1e-5):
    """Within a part of the largest magnitude: gradients of a mean over all matrices are tiny."""
    for result, truth in zip(results, truths, strict=True):
        assert_close(result.to(truth.dtype), truth, rtol=tolerance, atol=tolerance * truth.abs().max().item())


@BY_AREA
def test_the_reference_is_the_sum_of_two_comparisons(by_area):
    (fake_b, real_a, fake_a), (labels_a, labels_b) = example(1, 3, 4, 5, 2)

    def gram(features, labels, region):
        mask = torch.nn.functional.avg_pool2d((labels == region).float(), 2)[0]
        inside = (mask * features[0]).flatten(1)
        return inside @ inside.T / (mask.square().sum().clamp(min=1) if by_area else mask.numel()), mask.max()

    total = 0
    for region in REGIONS:
        style_b, peak_b = gram(fake_b, labels_b, region)
        for first, second in ((gram(real_a, labels_a, region), style_b), (gram(fake_a, labels_a, region), style_b)):
            total += (first[1] * peak_b * (first[0] - second)).square().sum() / (len(REGIONS) * 9)
    assert_close(expected((fake_b, real_a, fake_a), (labels_a, labels_b), by_area)[0], total)


@pytest.mark.usefixtures("nan_filled_memory")
@BY_AREA
@pytest.mark.parametrize(("b", "c", "h", "w", "factor"), SIZES)
@FORMS
def test_equals_the_reference(form, b, c, h, w, factor, by_area):
    features, labels = example(b, c, h, w, factor)
    assert_equal(run(form, features, labels, by_area), expected(features, labels, by_area))


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
def test_low_precision_and_channels_last(form, dtype):
    features, labels = example(1, 20, 9, 6, 2, dtype)
    features = [8 * x.to(memory_format=torch.channels_last) for x in features]  # gradients that float16 can hold
    results = run(form, features, labels, True)
    assert_equal(results, expected(features, labels, True), ROUNDING[dtype])
    assert [x.dtype for x in results] == [torch.float32, dtype, dtype, dtype]


@BY_AREA
def test_the_op_equals_the_reference(by_area):
    features, labels = example(2, 6, 9, 5, 2)
    features = [x.requires_grad_() for x in features]
    loss = semantic_style_loss(*features, *labels, REGIONS, by_area)
    gradients = torch.autograd.grad(loss, features, torch.tensor(3.0))
    truth, *true_gradients = expected(features, labels, by_area)
    assert_equal((loss, *gradients), (truth, *(3 * x for x in true_gradients)))


@pytest.mark.parametrize("needed", [(True, False, True), (False, True, False), (True, False, False)])
def test_only_needed_gradients_are_computed(needed, monkeypatch):
    features, labels = example(1, 4, 6, 5, 2)
    truth = expected(features, labels, False, needed)
    features = [x.requires_grad_(need) for x, need in zip(features, needed, strict=True)]
    calls, backward = [], cpu.backward
    monkeypatch.setattr(cpu, "backward", lambda *arguments: (calls.append(1), backward(*arguments)))
    loss = semantic_style_loss(*features, *labels, REGIONS)
    gradients = torch.autograd.grad(loss, [x for x in features if x.requires_grad])
    assert_equal((loss, *gradients), truth)
    assert len(calls) == sum(needed)


@BY_AREA
def test_the_gradients_are_right(by_area):
    features, labels = example(1, 2, 3, 4, 2)
    inputs = [x.double().requires_grad_() for x in features]
    masks = [reference.region_masks(x, REGIONS, (3, 4), torch.float64) for x in labels]
    assert torch.autograd.gradcheck(lambda *x: 100 * semantic_style_loss(*x, *labels, REGIONS, by_area), inputs)
    assert torch.autograd.gradcheck(lambda *x: 100 * reference.semantic_style_loss(*x, *masks, by_area), inputs)


def test_two_runs_are_bit_equal():
    inputs = example(2, 17, 9, 8, 2)
    for form in (cpu, _triton):
        for first, second in zip(run(form, *inputs, False), run(form, *inputs, False), strict=True):
            assert torch.equal(first, second)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_equal_pictures_have_no_loss_and_unseen_regions_no_weight(b, c, h, w, seed, by_area):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(b, c, h, w, generator=generator)
    labels = torch.randint(0, 3, (b, 2 * h, 2 * w), generator=generator, dtype=torch.uint8)
    assert semantic_style_loss(features, features, features, labels, labels, REGIONS, by_area) == 0
    loss = semantic_style_loss(features, 2 * features, features, labels, labels + 10, REGIONS, by_area)
    assert loss == 0
    loss = semantic_style_loss(features, 2 * features, features, labels, labels, range(3), False)
    seen = reference.region_masks(labels, range(3), (h, w)).amax((2, 3)).square()[..., None, None]
    assert_close(loss, (seen * 3 * semantic_gram(features, labels, range(3))).square().mean())


def test_torch_accepts_the_op():
    features, labels = example(2, 3, 3, 4, 2)
    inputs = [x.requires_grad_() for x in features]
    torch.library.opcheck(torch.ops.spt_kernels.semantic_style_loss, (*inputs, *labels, list(REGIONS), True))


def test_the_op_compiles_as_one_graph(monkeypatch):
    monkeypatch.setattr(style, "check_labels", inspect.unwrap(op.check_labels))
    features, labels = example(2, 4, 5, 3, 2)
    features = [x.requires_grad_() for x in features]

    def both(function):
        loss = function(*features, *labels, REGIONS)
        return loss, *torch.autograd.grad(loss, features)

    compiled = torch.compile(UNCHECKED, fullgraph=True, backend="aot_eager")
    for result, truth in zip(both(compiled), both(UNCHECKED), strict=True):
        assert torch.equal(result, truth)


def test_what_does_not_fit_is_named():
    (fake_b, real_a, fake_a), (labels_a, labels_b) = example(1, 2, 4, 4, 2)
    with pytest.raises(ValueError, match=r"`real_a` is .* torch.float16 but `fake_b` is .* torch.float32"):
        semantic_style_loss(fake_b, real_a.half(), fake_a, labels_a, labels_b, REGIONS)
    with pytest.raises(ValueError, match=r"`labels_b` are \(1, 5, 8\) but `fake_b` are \(1, 2, 4, 4\)"):
        UNCHECKED(fake_b, real_a, fake_a, labels_a, labels_b[:, :5], REGIONS)


def test_the_floor_is_three_matrices_forward_and_two_gradients_backward():
    (features, *_), (labels_a, labels_b) = example(2, 3, 5, 7, 2)
    of_a, of_b = (forward_cost(features, labels, REGIONS) for labels in (labels_a, labels_b))
    total = style_forward_cost(features, labels_a, labels_b, REGIONS)
    assert total == (2 * of_a.bytes + of_b.bytes - labels_a.numel(), 2 * of_a.flops + of_b.flops)
    of_a, of_b = (backward_cost(features, labels, REGIONS) for labels in (labels_a, labels_b))
    assert style_backward_cost(features, labels_a, labels_b, REGIONS) == (
        of_a.bytes + of_b.bytes,
        of_a.flops + of_b.flops,
    )
