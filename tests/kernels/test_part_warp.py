"""Every spelling of `part_warp` against its definition, forward and backward, on ugly sizes."""

import inspect
import math
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import part_masks, part_warp
from spt_kernels.part_warp import _triton, cpu, reference
from torch.nn import functional as F
from torch.testing import assert_close
from warps import SIZES, example

UNCHECKED = inspect.unwrap(part_warp)  # without the tests' checks of shapes
FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])


def expected(features, transforms, quads, grad, size):
    features = features.detach().clone().requires_grad_()
    values = reference.part_warp(features, transforms, quads, size)
    return values.detach(), torch.autograd.grad(values, features, grad)[0]


def run(form, features, transforms, quads, grad, size):
    """Values and the gradient of the features; kernels run on the GPU where there is one, else in the interpreter."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    features, transforms, quads, grad = (tensor.to(device) for tensor in (features, transforms, quads, grad))
    ndc = reference.ndc_transforms(transforms, features.shape[-2:], size)
    values, winners = form.forward(features, ndc, quads, size)
    return values.cpu(), form.backward(grad, winners, ndc, quads, size).cpu()


def boxes(*places):
    """Quadrilaterals that cover (left, top, right, bottom) in px, ends included; None covers nothing."""
    corners = []
    for place in places:
        left, top, right, bottom = place or [torch.nan] * 4
        left, top, right, bottom = left - 0.4, top - 0.4, right + 0.4, bottom + 0.4
        corners.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    return torch.tensor([corners], dtype=torch.float64)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "p", "h", "w"), SIZES)
@FORMS
def test_equals_the_reference(form, b, c, p, h, w):
    inputs = *example(b, c, p, h, w), (2 * h, 2 * w)
    for result, truth in zip(run(form, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("image_size", [(10, 13), (20, 26), (40, 52), (23, 17), (3, 4)], ids=str)
@FORMS
def test_masks_are_resized_from_the_picture(form, image_size):
    inputs = *example(2, 3, 5, 10, 13, image_size=image_size), image_size
    for result, truth in zip(run(form, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@FORMS
def test_any_strides(form):
    features, transforms, quads, grad = example(2, 6, 3, 6, 5)
    truth = expected(features, transforms, quads, grad, (12, 10))
    for strided in (
        features.to(memory_format=torch.channels_last),
        features.mT.contiguous().mT,
        features.repeat_interleave(2, dim=1)[:, ::2],
    ):
        assert not strided.is_contiguous()
        flipped = (tensor.mT.contiguous().mT for tensor in (transforms, quads, grad))
        for result, want in zip(run(form, strided, *flipped, (12, 10)), truth, strict=True):
            assert_close(result, want, rtol=1e-5, atol=1e-5)


def test_kernels_keep_channels_last():
    features, transforms, quads, grad = example(2, 6, 3, 6, 5)
    last = features.to(memory_format=torch.channels_last)
    for result in run(_triton, last, transforms, quads, grad, (12, 10)):
        assert result.is_contiguous(memory_format=torch.channels_last)


# One rounding of the result. On NVIDIA the backward's product also rounds to tf32, as finely as float16.
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2**-10), (torch.bfloat16, 2**-7)], ids=str)
def test_kernels_round_half_types_once(dtype, rounding):
    features, transforms, quads, grad = example(2, 6, 3, 6, 5)
    features, grad = features.to(dtype), grad.to(dtype)
    truth = expected(features.float(), transforms, quads, grad.float(), (12, 10))
    for result, want in zip(run(_triton, features, transforms, quads, grad, (12, 10)), truth, strict=True):
        assert result.dtype == dtype
        assert_close(result.float(), want, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("kind", ["turned", "sheared", "mirrored", "squeezed", "stretched", "singular", "point", "far"])
def test_the_gathering_backward_misses_no_contribution(kind):
    linear = {
        "turned": [[0.6, -0.8], [0.8, 0.6]],
        "sheared": [[1.0, 1.7], [0.1, 1.0]],
        "mirrored": [[-1.0, 0.2], [0.0, 1.0]],
        "squeezed": [[0.05, 0.02], [-0.01, 0.1]],
        "stretched": [[4.0, 0.5], [-0.3, 5.0]],
        "singular": [[0.5, 0.25], [1.0, 0.5]],
        "point": [[0.0, 0.0], [0.0, 0.0]],
        "far": [[1.0, 0.0], [0.0, 1.0]],
    }[kind]
    features, _, _, grad = example(1, 3, 1, 21, 37)
    offset = [800.0, -900.0] if kind == "far" else [13.0, 9.0]
    transforms = torch.cat([torch.tensor(linear), torch.tensor(offset)[:, None]], 1)[None, None]
    inputs = (features, transforms, boxes((-1, -1, 37, 21)), grad, (21, 37))
    for result, truth in zip(run(_triton, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("h", "w"), [(20, 1), (1, 20)])
def test_the_gathering_backward_misses_nothing_on_a_line(h, w):
    features, _, _, grad = example(1, 2, 1, h, w)
    transforms = torch.tensor([[[[0.9, 0.5, 0.1], [0.4, 0.8, 0.2]]]])
    inputs = (features, transforms, boxes((-1, -1, w, h)), grad, (h, w))
    for result, truth in zip(run(_triton, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_the_compiled_form_agrees_on_any_parts(h, w, p, seed):
    generator = torch.Generator().manual_seed(seed)
    features, grad = torch.randn(2, 1, 2, h, w, generator=generator)
    transforms = torch.randn(1, p, 2, 3, generator=generator)
    quads = torch.rand(1, p, 4, 2, generator=generator, dtype=torch.float64) * 20 - 4
    inputs = (features, transforms, quads, grad, (h + 3, 2 * w))
    for result, truth in zip(run(cpu, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_the_identity_everywhere_changes_nothing(h, w, seed):
    features = torch.randn(1, 2, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    identity = torch.eye(2, 3, dtype=torch.float64)[None, None]
    assert_close(part_warp(features, identity, boxes((0, 0, w, h)), (h, w)), features)


def test_the_reference_equals_loops_over_pixels():
    features, transforms, quads, _ = example(1, 2, 4, 5, 7, dtype=torch.float64)
    masks = F.interpolate(part_masks(quads, (10, 14)).double(), (5, 7), mode="bilinear")[0]
    values = torch.zeros(2, 5, 7, dtype=torch.float64)
    for y in range(5):
        for x in range(7):
            parts = []
            for ((a, b, c), (d, e, f)), mask in zip(transforms[0].tolist(), masks, strict=True):
                at_x, at_y = a * x + b * y * (10 * 7) / (5 * 14) + c * 6 / 14, d * x + e * y + f * 4 / 10
                near = [(math.floor(at_x) + i, math.floor(at_y) + j) for i in (0, 1) for j in (0, 1)]
                taps = [
                    (1 - abs(at_x - i)) * (1 - abs(at_y - j)) * features[0, :, j, i]
                    for i, j in near if 0 <= i < 7 and 0 <= j < 5
                ]  # fmt: skip
                parts.append(mask[y, x] * torch.stack([torch.zeros(2, dtype=torch.float64), *taps]).sum(0))
            values[:, y, x] = torch.stack(parts).amax(0)
    assert_close(reference.part_warp(features, transforms, quads, (10, 14))[0], values)


@FORMS
def test_masked_out_zeros_take_part_only_where_there_are_any(form):
    features = -torch.ones(1, 1, 2, 2)
    identity = torch.eye(2, 3).expand(1, 2, 2, 3).contiguous()
    values, _ = run(form, features, identity, boxes((0, 0, 1, 1), (1, 0, 1, 1)), features, (2, 2))
    assert values.flatten().tolist() == [0, -1, 0, -1]


@FORMS
def test_the_first_of_equal_parts_gets_the_gradient(form):
    features = torch.tensor([[[[0.0, 2.0, 3.0]]]])
    transforms = torch.eye(2, 3).repeat(1, 3, 1, 1)
    grad = torch.ones(1, 1, 1, 3)
    # 0 is the value of every part at the first pixel: part 0, masked out there, is the first to reach it.
    _, gradient = run(form, features, transforms, boxes((1, 0, 2, 0), (0, 0, 2, 0), (1, 0, 2, 0)), grad, (1, 3))
    assert gradient.flatten().tolist() == [0, 1, 1]
    _, gradient = run(form, features, transforms, boxes((0, 0, 2, 0), (1, 0, 2, 0), (1, 0, 2, 0)), grad, (1, 3))
    assert gradient.flatten().tolist() == [1, 1, 1]


@FORMS
def test_where_there_is_no_part_there_is_nothing(form):
    features = torch.randn(1, 3, 4, 5)
    values, gradient = run(form, features, torch.eye(2, 3)[None, None], boxes(None), features, (4, 5))
    assert not values.any()
    assert not gradient.any()


@FORMS
def test_a_shift_of_one_pixel_moves_the_picture(form):
    features = torch.arange(12.0).reshape(1, 1, 3, 4)
    shift = torch.tensor([[[[1.0, 0.0, 4 / 3], [0.0, 1.0, 0.0]]]])  # an offset of the image's width is w - 1 pixels
    values, _ = run(form, features, shift, boxes((0, 0, 3, 2)), features, (3, 4))
    assert_close(values[0, 0], torch.tensor([[1.0, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]]))


def test_a_squeezed_map_is_warped_as_its_image_is():
    turn = torch.tensor([[[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]]])  # in the image, (x, y) comes from (-y, x)
    squeezed = reference.ndc_transforms(turn, (8, 4), (8, 8))  # x counts half as many pixels
    y, x = reference.axes((8, 4), like=squeezed)
    source = reference.positions(squeezed[0], x, y[:, None])
    x, y = (source[..., 0] + 1) * 3 / 2, (source[..., 1] + 1) * 7 / 2
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(4.0), indexing="ij")
    assert_close(x, -rows / 2, rtol=0, atol=1e-5)
    assert_close(y, columns * 2, rtol=0, atol=1e-5)


def test_the_op_equals_the_reference_and_gives_only_features_a_gradient():
    features, transforms, quads, grad = example(2, 6, 3, 6, 5)
    values, gradient = expected(features, transforms, quads, grad, (12, 10))
    for tensor in (features, transforms, quads):
        tensor.requires_grad_()
    result = part_warp(features, transforms, quads, (12, 10))
    assert_close(result, values, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(result, (features, transforms, quads), grad, allow_unused=True)
    assert_close(gradients[0], gradient, rtol=1e-5, atol=1e-5)
    assert gradients[1:] == (None, None)


def test_half_precision_features_keep_their_type():
    features, transforms, quads, grad = example(2, 6, 3, 6, 5)
    low = features.bfloat16().requires_grad_()
    values, gradient = expected(low.detach().float(), transforms, quads, grad.bfloat16().float(), (12, 10))
    result = part_warp(low, transforms, quads, (12, 10))
    (low_gradient,) = torch.autograd.grad(result, low, grad.bfloat16())
    assert result.dtype == low_gradient.dtype == torch.bfloat16
    assert_close(result.float(), values, rtol=2**-7, atol=2**-7)
    assert_close(low_gradient.float(), gradient, rtol=2**-7, atol=2**-7)


def test_gradients_of_the_reference_and_of_the_op_are_right():
    features, transforms, quads, _ = example(2, 2, 3, 3, 4, dtype=torch.float64)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference.part_warp(x, transforms, quads, (6, 8)), features)
    assert torch.autograd.gradcheck(lambda x: part_warp(x, transforms, quads, (6, 8)), features)


def test_torch_accepts_the_op():
    features, transforms, quads, grad = example(2, 3, 2, 3, 4)
    ndc = reference.ndc_transforms(transforms, (3, 4), (6, 8))
    torch.library.opcheck(torch.ops.spt_kernels.part_warp, (features.requires_grad_(), ndc, quads, 6, 8))
    winners = torch.zeros(2, 3, 3, 4, dtype=torch.uint8)
    torch.library.opcheck(torch.ops.spt_kernels.part_warp_backward, (grad, winners, ndc, quads, 6, 8))


def test_the_op_compiles_as_one_graph():
    features, transforms, quads, grad = example(2, 3, 4, 5, 6)

    def both(function):
        inside = features.clone().requires_grad_()
        values = function(inside, transforms, quads, (10, 12))
        return values.detach(), torch.autograd.grad(values, inside, grad)[0]

    with mock.patch.object(reference, "ndc_transforms", inspect.unwrap(reference.ndc_transforms)):
        compiled = both(torch.compile(UNCHECKED, fullgraph=True, backend="aot_eager"))
    for result, truth in zip(compiled, both(UNCHECKED), strict=True):
        assert_close(result, truth, rtol=1e-6, atol=1e-6)


def test_inputs_that_do_not_fit_are_named():
    eye, two = torch.eye(2, 3).repeat(1, 3, 1, 1), torch.zeros(1, 2, 4, 2)
    with pytest.raises(ValueError, match=r"`transforms` \(1, 3, 2, 3\), `quads` \(1, 2, 4, 2\)"):
        UNCHECKED(torch.ones(1, 1, 4, 4), eye, two, (4, 4))
    with pytest.raises(ValueError, match="as many quadrilaterals as transforms, 1 to 255"):
        part_warp(torch.ones(1, 1, 4, 4), torch.ones(1, 300, 2, 3), torch.ones(1, 300, 4, 2), (4, 4))
