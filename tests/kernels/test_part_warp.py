"""Every spelling of `part_warp` against its definition, forward and backward, on ugly sizes."""

import inspect

import pytest
import torch
from spt_kernels import part_warp
from spt_kernels.part_warp import _triton, cpu, reference
from torch.testing import assert_close

FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
SIZES = [  # b, c, p, h, w
    pytest.param(1, 1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 2, 3, 1, 5, id="one row"),
    pytest.param(2, 2, 3, 5, 1, id="one column"),
    pytest.param(2, 3, 4, 5, 7, id="odd"),
    pytest.param(1, 17, 3, 4, 4, id="channels one past a block"),
    pytest.param(2, 4, 10, 5, 13, id="pixels one past a block"),
    pytest.param(1, 16, 10, 16, 12, id="a training shape"),
]


def example(b, c, p, h, w, dtype=torch.float32):
    """Features, maps in px of a picture of twice the size, soft masks and an upstream gradient.

    Part 0 is everywhere, as the body is; the last part maps out of the picture.
    """
    generator = torch.Generator().manual_seed(b + c + p + h + w)
    features = torch.randn(b, c, h, w, generator=generator, dtype=dtype)
    transforms = 0.3 * torch.randn(b, p, 2, 3, generator=generator, dtype=dtype)
    transforms += torch.eye(2, 3, dtype=dtype)
    transforms[..., 2] *= 6
    masks = torch.rand(b, p, h, w, generator=generator, dtype=dtype)
    masks *= torch.rand(b, p, h, w, generator=generator) > 0.6
    if p > 1:
        masks[:, 0] = 1
        transforms[:, -1, :, 2] = 1000
    return features, transforms, masks, torch.randn(b, c, h, w, generator=generator, dtype=dtype)


def expected(features, transforms, masks, grad, size):
    features = features.detach().clone().requires_grad_()
    values = reference.part_warp(features, transforms, masks, size)
    return values.detach(), torch.autograd.grad(values, features, grad)[0]


def run(form, features, transforms, masks, grad, size):
    """Values and the gradient of the features; kernels run on the GPU where there is one, else in the interpreter."""
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    features, transforms, masks, grad = (tensor.to(device) for tensor in (features, transforms, masks, grad))
    ndc = reference.ndc_transforms(transforms, features.shape[-2:], size)
    values, winners = form.forward(features, ndc, masks)
    return values.cpu(), form.backward(grad, winners, ndc, masks).cpu()


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize(("b", "c", "p", "h", "w"), SIZES)
@FORMS
def test_equals_the_reference(form, b, c, p, h, w):
    inputs = *example(b, c, p, h, w), (2 * h, 2 * w)
    for result, truth in zip(run(form, *inputs), expected(*inputs), strict=True):
        assert_close(result, truth, rtol=1e-5, atol=1e-5)


@FORMS
def test_any_strides(form):
    features, transforms, masks, grad = example(2, 6, 3, 6, 5)
    truth = expected(features, transforms, masks, grad, (12, 10))
    for strided in (
        features.to(memory_format=torch.channels_last),
        features.mT.contiguous().mT,
        features.repeat_interleave(2, dim=1)[:, ::2],
    ):
        assert not strided.is_contiguous()
        flipped = (tensor.mT.contiguous().mT for tensor in (transforms, masks, grad))
        for result, want in zip(run(form, strided, *flipped, (12, 10)), truth, strict=True):
            assert_close(result, want, rtol=1e-5, atol=1e-5)


@FORMS
def test_masked_out_zeros_take_part_only_where_there_are_any(form):
    features = -torch.ones(1, 1, 2, 2)
    identity = torch.eye(2, 3).expand(1, 2, 2, 3).contiguous()
    masks = torch.ones(1, 2, 2, 2)
    masks[0, 1, 0, 0] = 0
    values, _ = run(form, features, identity, masks, features, (2, 2))
    assert values.flatten().tolist() == [0, -1, -1, -1]


@FORMS
def test_the_first_of_equal_parts_gets_the_gradient(form):
    features = torch.tensor([[[[0.0, 2.0, 3.0]]]])
    transforms = torch.eye(2, 3).repeat(1, 3, 1, 1)
    masks = torch.ones(1, 3, 1, 3)
    masks[0, 0, 0, 0] = masks[0, 2, 0, 0] = 0  # 0 is the value of every part there: part 0, masked out, is the first
    _, gradient = run(form, features, transforms, masks, torch.ones(1, 1, 1, 3), (1, 3))
    assert gradient.flatten().tolist() == [0, 1, 1]
    masks[0, 0, 0, 0], masks[0, 1, 0, 0] = 1, 0
    _, gradient = run(form, features, transforms, masks, torch.ones(1, 1, 1, 3), (1, 3))
    assert gradient.flatten().tolist() == [1, 1, 1]


@FORMS
def test_a_shift_of_one_pixel_moves_the_picture(form):
    features = torch.arange(12.0).reshape(1, 1, 3, 4)
    shift = torch.tensor([[[[1.0, 0.0, 4 / 3], [0.0, 1.0, 0.0]]]])  # an offset of the image's width is w - 1 pixels
    values, _ = run(form, features, shift, torch.ones(1, 1, 3, 4), features, (3, 4))
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
    features, transforms, masks, grad = example(2, 6, 3, 6, 5)
    values, gradient = expected(features, transforms, masks, grad, (12, 10))
    for tensor in (features, transforms, masks):
        tensor.requires_grad_()
    result = part_warp(features, transforms, masks, (12, 10))
    assert_close(result, values, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(result, (features, transforms, masks), grad, allow_unused=True)
    assert_close(gradients[0], gradient, rtol=1e-5, atol=1e-5)
    assert gradients[1:] == (None, None)


def test_half_precision_features_keep_their_type():
    features, transforms, masks, grad = example(2, 6, 3, 6, 5)
    low = features.bfloat16().requires_grad_()
    values, gradient = expected(low.detach().float(), transforms, masks, grad.bfloat16().float(), (12, 10))
    result = part_warp(low, transforms, masks, (12, 10))
    (low_gradient,) = torch.autograd.grad(result, low, grad.bfloat16())
    assert result.dtype == low_gradient.dtype == torch.bfloat16
    assert_close(result.float(), values, rtol=1e-2, atol=1e-2)
    assert_close(low_gradient.float(), gradient, rtol=1e-2, atol=2e-2)


def test_gradients_of_the_reference_and_of_the_op_are_right():
    features, transforms, masks, _ = example(2, 2, 3, 3, 4, dtype=torch.float64)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference.part_warp(x, transforms, masks, (6, 8)), features)
    assert torch.autograd.gradcheck(lambda x: part_warp(x, transforms, masks, (6, 8)), features)


def test_torch_accepts_the_op():
    features, transforms, masks, grad = example(2, 3, 2, 3, 4)
    ndc = reference.ndc_transforms(transforms, (3, 4), (6, 8))
    torch.library.opcheck(torch.ops.spt_kernels.part_warp, (features.requires_grad_(), ndc, masks))
    winners = torch.zeros(2, 3, 3, 4, dtype=torch.uint8)
    torch.library.opcheck(torch.ops.spt_kernels.part_warp_backward, (grad, winners, ndc, masks))


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"`transforms` \(1, 3, 2, 3\), `masks` \(1, 2, 4, 4\)"):
        inspect.unwrap(part_warp)(torch.ones(1, 1, 4, 4), torch.ones(1, 3, 2, 3), torch.ones(1, 2, 4, 4), (4, 4))
    with pytest.raises(ValueError, match="300 parts; at most 255"):
        part_warp(torch.ones(1, 1, 4, 4), torch.ones(1, 300, 2, 3), torch.ones(1, 300, 4, 4), (4, 4))
