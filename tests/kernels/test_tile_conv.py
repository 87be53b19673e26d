"""`tile_conv` against torch's convolution: values, both gradients, ugly sizes, and what falls back."""

import pytest
import torch
from spt_kernels import tile_conv
from spt_kernels.tile_conv import cpu, op, reference
from torch.nn import functional as F
from torch.testing import assert_close

# (batch, in, out, height, width, kernel, padding, reflect)
SHAPES = [
    (1, 64, 64, 16, 16, 3, 1, True),
    (2, 65, 70, 17, 23, 3, 1, False),
    (2, 64, 66, 31, 16, 3, 0, False),
    (1, 64, 64, 16, 19, 3, 2, True),
    (3, 64, 80, 18, 16, 4, 1, False),
    (2, 70, 64, 16, 33, 4, 0, False),
    (1, 64, 64, 21, 17, 4, 3, True),
    (1, 64, 64, 16, 16, 4, 3, False),
    (1, 65, 64, 16, 19, 2, 1, False),
    (2, 64, 70, 17, 16, 2, 0, False),
    (1, 64, 64, 18, 16, 2, 1, True),
]


def tensors(shape, seed=0):
    b, c, o, h, w, kernel, padding, reflect = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(b, c, h, w, generator=generator)
    weight = torch.randn(o, c, kernel, kernel, generator=generator) / (c * kernel**2) ** 0.5
    return x, weight, torch.randn(o, generator=generator), padding, reflect


def exact(x, weight, bias, padding, reflect, grad):
    """Values and gradients in float64."""
    wide = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    y = reference.tile_conv(*wide, padding, reflect)
    return [y.detach(), *torch.autograd.grad(y, wide, grad.double())]


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_a_convolutions(shape):
    x, weight, bias, padding, reflect = tensors(shape)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    y = tile_conv(*leaves, padding, reflect)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    found = [y, *torch.autograd.grad(y, leaves, grad)]
    for ours, truth in zip(found, exact(x, weight, bias, padding, reflect, grad), strict=True):
        assert float((ours.detach() - truth).abs().max() / truth.abs().max()) < 1e-5


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_the_matrices_convolve_exactly(kernel):
    b, g, a = reference.transforms(kernel)
    window, weight = torch.randn(6, 6, dtype=torch.float64), torch.randn(kernel, kernel, dtype=torch.float64)
    y = a.t() @ ((g @ weight @ g.t()) * (b @ window @ b.t())) @ a
    assert_close(y, F.conv2d(window[None, None], weight[None, None])[0, 0])


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_the_compiled_loops_apply_the_matrices(kernel):
    step, size = 7 - kernel, (16, 17)
    x = torch.randn(1, 2, *size)
    b = reference.transforms(kernel)[0].float()
    tiles = cpu._gather(x, kernel, 0, False, (size[0] - kernel + 1, size[1] - kernel + 1)).unflatten(2, (-1, 1))
    across = -(-(size[1] - kernel + 1) // step)
    for number in range(tiles.shape[2]):
        top, left = number // across * step, number % across * step
        window = F.pad(x, (0, 6, 0, 6))[0, :, top : top + 6, left : left + 6]
        assert_close(tiles[:, :, number, 0].t().unflatten(1, (6, 6)), b @ window @ b.t(), atol=1e-5, rtol=1e-5)


def test_a_frozen_weight_keeps_no_maps_and_gets_no_gradient():
    x, weight, _, padding, reflect = tensors(SHAPES[0])
    x.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.shape) or tensor, lambda t: t):
        y = tile_conv(x, weight, None, padding, reflect)
    assert saved == [weight.shape]
    y.sum().backward()
    assert weight.grad is None
    assert x.grad is not None


@pytest.mark.parametrize(
    "change",
    [
        {"x": torch.float64, "weight": torch.float64},
        {"channels": 8},
        {"size": 12},
        {"kernel": 5},
    ],
    ids=str,
)
def test_what_does_not_fit_is_torchs_convolution(change, monkeypatch):
    def never(*_):
        raise AssertionError("tiles were taken")

    monkeypatch.setattr(op, "_conv", never)
    c, size, kernel = change.get("channels", 64), change.get("size", 16), change.get("kernel", 3)
    x = torch.randn(1, c, size, size).to(change.get("x", torch.float32))
    weight = torch.randn(64, c, kernel, kernel).to(change.get("weight", torch.float32))
    assert_close(tile_conv(x, weight, None, 1, True), F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), weight))


def test_torch_knows_shapes_and_gradients():
    for shape in (SHAPES[0], SHAPES[4], SHAPES[8]):
        x, weight, _, padding, reflect = tensors(shape)
        torch.library.opcheck(op._conv, (x.requires_grad_(), weight.requires_grad_(), padding, reflect))


def test_the_op_compiles_as_one_graph():
    x, weight, _, padding, reflect = tensors(SHAPES[1])

    def gradients(convolve):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, weight)]
        y = convolve(*leaves, padding, reflect)
        return y, *torch.autograd.grad(y.square().sum(), leaves)

    compiled = torch.compile(torch.ops.spt_kernels.tile_conv, fullgraph=True, backend="aot_eager")
    assert_close(gradients(compiled), gradients(torch.ops.spt_kernels.tile_conv))
