"""Every spelling of `norm_act` against its definition, forward and backward, on ugly sizes."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import norm_act
from spt_kernels.norm_act import _triton, cpu, op, reference
from torch.nn import functional as F
from torch.testing import assert_close

UNCHECKED = inspect.unwrap(norm_act)  # without the tests' checks of shapes
FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
SIZES = [  # b, c, h, w, groups
    pytest.param(1, 1, 1, 2, 1, id="two pixels"),
    pytest.param(2, 6, 3, 5, 3, id="groups of two"),
    pytest.param(2, 5, 7, 9, 5, id="instance, odd"),
    pytest.param(2, 5, 7, 9, 1, id="all together, odd"),
    pytest.param(1, 1, 17, 241, 1, id="one past a tile"),
    pytest.param(1, 33, 4, 33, 33, id="channels one past a block"),
    pytest.param(1, 16, 16, 12, 1, id="a training shape"),
]
EPS = 1e-3
# Inputs are the same rounded numbers on both sides, sums are float32: what is left is rounding the result.
ROUNDING = {torch.float32: 2e-5, torch.float16: 4 * 2**-10, torch.bfloat16: 4 * 2**-7}


def example(b, c, h, w, dtype=torch.float32):
    generator = torch.Generator().manual_seed(b + c + h + w)
    x = (3 * torch.randn(b, c, h, w, generator=generator) + 5).to(dtype)
    weight, bias = torch.tensor([1.3], dtype=torch.float32), torch.tensor([0.2], dtype=torch.float32)
    return x, weight, bias, torch.randn(b, c, h, w, generator=generator).to(dtype)


def expected(x, weight, bias, grad, groups, slope):
    inputs = [tensor.detach().float().clone().requires_grad_() for tensor in (x, weight, bias)]
    result = reference.norm_act(inputs[0], groups, inputs[1], inputs[2], EPS, slope)
    return result.detach(), *torch.autograd.grad(result, inputs, grad.float())


def run(form, x, weight, bias, grad, groups, slope):
    """Result and gradients; kernels run on the GPU where there is one, else in the interpreter."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    x, weight, bias, grad = (tensor.to(device) for tensor in (x, weight, bias, grad))
    result, mean, rstd = form.forward(x, groups, weight, bias, EPS, slope)
    return [t.cpu() for t in (result, *form.backward(grad, x, mean, rstd, weight, bias, slope))]


def test_the_reference_is_torchs_norms():
    x, weight, bias, _ = example(2, 6, 5, 4)
    instance = F.leaky_relu(F.instance_norm(x), 0.2)
    assert_close(reference.norm_act(x, 6, None, None, 1e-5, 0.2), instance, rtol=1e-5, atol=1e-5)
    layer = F.relu(F.layer_norm(x, x.shape[1:], eps=EPS) * weight + bias)
    assert_close(reference.norm_act(x, 1, weight, bias, EPS, 0.0), layer, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("b", "c", "h", "w", "groups"), SIZES)
@FORMS
def test_equals_the_reference(form, b, c, h, w, groups, slope):
    inputs = example(b, c, h, w)
    for result, truth in zip(run(form, *inputs, groups, slope), expected(*inputs, groups, slope), strict=True):
        assert_close(result, truth, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("groups", [1, 5])
def test_channels_last_stays_channels_last(groups):
    x, weight, bias, grad = example(2, 5, 7, 9)
    truth = expected(x, weight, bias, grad, groups, 0.2)
    last = x.to(memory_format=torch.channels_last)
    results = run(_triton, last, weight, bias, grad, groups, 0.2)
    assert results[0].is_contiguous(memory_format=torch.channels_last)
    for result, want in zip(results, truth, strict=True):
        assert_close(result, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_any_strides(groups):
    x, weight, bias, grad = example(2, 6, 5, 4)
    truth = expected(x, weight, bias, grad, groups, 0.2)
    for strided in (x.mT.contiguous().mT, x.repeat_interleave(2, dim=1)[:, ::2]):
        results = run(_triton, strided, weight, bias, grad.mT.contiguous().mT, groups, 0.2)
        for result, want in zip(results, truth, strict=True):
            assert_close(result, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_low_precision_is_rounded_once(dtype):
    x, weight, bias, grad = example(2, 5, 7, 9, dtype)
    truth = expected(x, weight, bias, grad, 5, 0.2)
    for form in (cpu, _triton) if dtype == torch.float32 else (_triton,):
        results = run(form, x, weight, bias, grad, 5, 0.2)
        assert [result.dtype for result in results] == [dtype, dtype, torch.float32, torch.float32]
        for result, want in zip(results, truth, strict=True):
            assert_close(result.float(), want, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


def test_a_large_mean_costs_no_digits():
    x, weight, bias, grad = example(1, 2, 40, 120)
    for form in (cpu, _triton):
        result = run(form, x + 1000, weight, bias, grad, 2, 0.2)[0]
        truth = reference.norm_act((x + 1000).double(), 2, weight.double(), bias.double(), EPS, 0.2)
        assert_close(result.double(), truth, rtol=0, atol=1e-3)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(2, 6), st.integers(0, 99))
def test_without_activation_every_group_has_mean_0_and_variance_1(b, c, h, w, seed):
    x = 10 * torch.randn(b, c, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = norm_act(x, c, slope=1.0, eps=0.0).flatten(2)
    assert_close(rows.mean(2), torch.zeros(b, c, dtype=torch.float64), rtol=0, atol=1e-9)
    assert_close(rows.var(2, correction=0), torch.ones(b, c, dtype=torch.float64), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_gradients_are_right(groups):
    x, weight, bias, _ = (tensor.double() for tensor in example(1, 6, 3, 2))
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    for form in (reference.norm_act, norm_act):
        assert torch.autograd.gradcheck(lambda *i, form=form: form(i[0], groups, i[1], i[2], EPS, 0.2), inputs)


def test_torch_accepts_the_op():
    x, weight, bias, grad = example(2, 4, 3, 5)
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    torch.library.opcheck(torch.ops.spt_kernels.norm_act, (inputs[0], 2, *inputs[1:], EPS, 0.2))
    _, mean, rstd = cpu.forward(x.detach(), 2, weight.detach(), bias.detach(), EPS, 0.2)
    saved = (grad, x.detach(), mean, rstd, weight.detach(), bias.detach())
    torch.library.opcheck(torch.ops.spt_kernels.norm_act_backward, (*saved, 0.2))


def test_the_op_compiles_as_one_graph():
    x, weight, bias, grad = example(2, 4, 3, 5)

    def gradients(function):
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        return torch.autograd.grad(function(inputs[0], 2, inputs[1], inputs[2], EPS, 0.2), inputs, grad)

    compiled = torch.compile(UNCHECKED, fullgraph=True, backend="aot_eager")
    for result, truth in zip(gradients(compiled), gradients(UNCHECKED), strict=True):
        assert torch.equal(result, truth)


def test_groups_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="`groups` is 3 but `x` has 4 channels"):
        norm_act(torch.ones(1, 4, 2, 2), 3)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("last", [True, False], ids=["channels-last", "planes"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 2), (2, 5, 7, 9), (3, 17, 41, 13), (1, 64, 33, 64)], ids=str)
def test_a_network_that_draws_normalises_whole_samples_alike(sizes, last):
    x, weight, bias, grad = example(*sizes)
    x = (x + 100).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    truth = expected(x.double(), weight, bias, grad, 1, 0.2)[0]
    with torch.no_grad():
        found = norm_act(x, 1, weight, bias, EPS, 0.2)
    assert found.stride() == x.stride()
    assert_close(found, truth, rtol=2e-5, atol=2e-4)  # 100 in float32 is known to 4e-6


def test_torch_knows_the_form_without_gradients():
    x, weight, bias, _ = example(2, 5, 7, 9)
    for layout in (torch.channels_last, torch.contiguous_format):
        torch.library.opcheck(op._norm_whole, (x.contiguous(memory_format=layout), weight, bias, EPS, 0.2))
