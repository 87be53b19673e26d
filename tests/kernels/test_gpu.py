"""The ops on a GPU at training's shapes, forward and backward, against the same ops on the processor."""

import pytest
import torch
from spt_kernels import (
    norm_act,
    part_masks,
    part_warp,
    pose_heatmaps,
    semantic_gram,
    semantic_gram_soft,
    semantic_style_loss,
)
from torch.testing import assert_close

pytestmark = pytest.mark.gpu
IMAGE, REGIONS = (256, 256), tuple(range(2, 10))
# Against the largest value. float32 goes through three tf32 products; half types are rounded on writing, the warp's
# backward and the Gram's operands also before their product.
NEAR = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
DTYPES = pytest.mark.parametrize("dtype", NEAR, ids=str)
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def people(batch):
    """Label maps in blocks, of which most are background, and parts of which most cover little."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 10, (batch, 16, 16), generator=generator, dtype=torch.uint8)
    labels[torch.rand(batch, 16, 16, generator=generator) > 0.3] = 0
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)
    centres = torch.rand(batch, 10, 1, 2, generator=generator, dtype=torch.float64) * 256
    quads = centres + 20 * torch.randn(batch, 10, 4, 2, generator=generator, dtype=torch.float64)
    quads[:, 0] = torch.tensor([[-1, -1], [256, -1], [256, 256], [-1, 256]])
    transforms = torch.eye(2, 3) + 0.1 * torch.randn(batch, 10, 2, 3, generator=generator)
    transforms[..., 2] *= 100
    return labels, transforms, quads


def assert_same(op, inputs, dtype, layout=torch.contiguous_format, seed=7):
    """Results and gradients of float inputs of 4 dimensions, on either device."""

    def both(device):
        moved = [x.to(device) for x in inputs]
        moved = [x.to(memory_format=layout).requires_grad_() if x.dtype == dtype and x.dim() == 4 else x for x in moved]
        result = op(*moved)
        grad = random(*result.shape, seed=seed).to(device, result.dtype)
        learned = [x for x in moved if x.requires_grad]
        return [x.detach().float().cpu() for x in (result, *torch.autograd.grad(result, learned, grad))]

    for found, truth in zip(both("cuda"), both("cpu"), strict=True):
        scale = truth.abs().max()
        assert_close(found / scale, truth / scale, rtol=0, atol=NEAR[dtype])


@LAYOUTS
@DTYPES
def test_semantic_gram(dtype, layout):
    labels, _, _ = people(8)
    features = random(8, 128, 128, 128, dtype=dtype)
    assert_same(lambda x, m: semantic_gram(x, m, REGIONS), [features, labels], dtype, layout)
    masks = (labels[:, None, ::2, ::2] == torch.tensor(REGIONS)[:, None, None]).double()
    assert_same(lambda x, m: semantic_gram_soft(x, m.float()), [features, masks], dtype, layout)


@LAYOUTS
@DTYPES
def test_semantic_style_loss(dtype, layout):
    labels, _, _ = people(8)
    inputs = [*(random(8, 128, 128, 128, dtype=dtype, seed=seed) for seed in range(3)), labels, labels.flip(0)]
    assert_same(lambda *x: 2**20 * semantic_style_loss(*x, REGIONS), inputs, dtype, layout)  # float16 holds no less


@pytest.mark.parametrize(("channels", "size"), [(64, 256), (128, 128), (256, 64), (3, 256), (20, 33)])
@LAYOUTS
@DTYPES
def test_part_warp(dtype, layout, channels, size):
    _, transforms, quads = people(4)
    features = random(4, channels, size, size, dtype=dtype)
    inputs = [features, transforms.double(), quads]
    assert_same(lambda x, t, q: part_warp(x, t.float(), q, IMAGE), inputs, dtype, layout)


@pytest.mark.parametrize("groups", ["one", "channels"])
@LAYOUTS
@DTYPES
def test_norm_act(dtype, layout, groups):
    features = 3 * random(4, 64, 128, 128, dtype=dtype) + 1
    assert_same(lambda x: norm_act(x, 1 if groups == "one" else 64, slope=0.2), [features], dtype, layout)


def test_rasterisers_are_exact():
    _, _, quads = people(8)
    assert torch.equal(part_masks(quads.cuda(), IMAGE).cpu(), part_masks(quads, IMAGE))
    joints, visible = 300 * torch.rand(8, 18, 2) - 20, torch.rand(8, 18) > 0.2
    drawn = pose_heatmaps(joints.cuda(), visible.cuda(), IMAGE, 6.0)
    assert_close(drawn.cpu(), pose_heatmaps(joints, visible, IMAGE, 6.0), rtol=0, atol=1e-6)


def test_runs_are_bit_equal():
    labels, transforms, quads = (x.cuda() for x in people(8))
    features = random(8, 64, 128, 128, dtype=torch.bfloat16).cuda().requires_grad_()

    def step():
        warped = part_warp(norm_act(features, 64), transforms, quads, IMAGE)
        loss = semantic_style_loss(warped, features.detach(), features, labels, labels.flip(0), REGIONS)
        return loss, torch.autograd.grad(loss, features)[0]

    for first, second in zip(step(), step(), strict=True):
        assert torch.equal(first, second)
