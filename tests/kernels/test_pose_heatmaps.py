"""Every spelling of `pose_heatmaps` against its definition, on ugly sizes and into slices."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import pose_heatmaps
from spt_kernels.pose_heatmaps import _triton, cpu, reference
from torch.testing import assert_close

UNCHECKED = inspect.unwrap(pose_heatmaps)  # without the tests' checks of shapes
FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
SIZES = [  # b, k, h, w
    pytest.param(1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 3, 1, 7, id="one row"),
    pytest.param(2, 3, 25, 41, id="one past a block"),
    pytest.param(1, 18, 64, 48, id="a training shape"),
]
# One rounding of a value of at most 1; float32 also differs by the exponential's own last bits.
ROUNDING = {torch.float32: 1e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8}


def example(b, k, h, w):
    generator = torch.Generator().manual_seed(b + k + h + w)
    joints = torch.rand(b, k, 2, generator=generator) * torch.tensor([w, h]) * 1.2 - 1  # some lie outside
    visible = torch.rand(b, k, generator=generator) > 0.2
    return torch.where(visible[..., None], joints, torch.nan), visible


def draw(form, joints, visible, sigma_px, out):
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    drawn = out.to(device) if device == "cuda" else out
    form.forward(joints.to(device), visible.to(device), sigma_px, drawn)
    return drawn.cpu()


def test_the_reference_is_the_formula():
    joints, visible = torch.tensor([[[2.0, 1.0], [0.0, 0.0]]]), torch.tensor([[True, False]])
    maps = reference.pose_heatmaps(joints, visible, (3, 4), 1.5)
    for row in range(3):
        for column in range(4):
            truth = math.exp(-((column - 2) ** 2 + (row - 1) ** 2) / 4.5)
            assert maps[0, 0, row, column].item() == pytest.approx(truth, abs=1e-6)
    assert not maps[0, 1].any()


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize(("b", "k", "h", "w"), SIZES)
@FORMS
def test_equals_the_reference(form, b, k, h, w, dtype):
    joints, visible = example(b, k, h, w)
    drawn = draw(form, joints, visible, 3.0, torch.empty(b, k, h, w, dtype=dtype))
    truth = reference.pose_heatmaps(joints, visible, (h, w), 3.0)
    assert_close(drawn.float(), truth, rtol=0, atol=ROUNDING[dtype])


@FORMS
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_only_the_slice_is_written(form, memory_format):
    joints, visible = example(2, 3, 9, 5)
    whole = torch.full((2, 7, 9, 5), -1.0).to(memory_format=memory_format)
    if form is _triton and torch.cuda.is_available():
        whole = whole.cuda()
    form.forward(joints.to(whole.device), visible.to(whole.device), 2.0, whole[:, 2:5])
    assert_close(whole[:, 2:5].cpu(), reference.pose_heatmaps(joints, visible, (9, 5), 2.0), rtol=0, atol=1e-6)
    assert (whole[:, :2] == -1).all()
    assert (whole[:, 5:] == -1).all()


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.1, 50))
def test_a_map_lies_between_0_and_1_and_falls_off_with_distance(x_px, y_px, sigma_px):
    maps = pose_heatmaps(torch.tensor([[[x_px, y_px]]]), torch.ones(1, 1, dtype=torch.bool), (16, 12), sigma_px)[0, 0]
    assert ((maps >= 0) & (maps <= 1)).all()
    row, column = divmod(maps.argmax().item(), 12)
    assert maps.max() == 0 or (abs(column - min(max(x_px, 0), 11)) <= 1 and abs(row - min(max(y_px, 0), 15)) <= 1)


def test_the_op_writes_into_a_network_input_and_torch_accepts_it():
    joints, visible = example(2, 3, 9, 5)
    truth = reference.pose_heatmaps(joints, visible, (9, 5), 2.0)
    assert_close(pose_heatmaps(joints, visible, (9, 5), 2.0), truth, rtol=0, atol=1e-6)
    network_input = torch.zeros(2, 6, 9, 5)
    result = pose_heatmaps(joints, visible, (9, 5), 2.0, out=network_input[:, 3:])
    assert result.data_ptr() == network_input[:, 3:].data_ptr()
    assert_close(network_input[:, 3:], truth, rtol=0, atol=1e-6)
    torch.library.opcheck(
        torch.ops.spt_kernels.pose_heatmaps, (joints.nan_to_num(), visible, 2.0, network_input[:, 3:])
    )


def test_the_op_compiles_as_one_graph():
    def network_input(joints, visible):
        maps = torch.zeros(2, 6, 9, 5)
        UNCHECKED(joints, visible, (9, 5), 2.0, out=maps[:, 3:])
        return maps * 2

    joints, visible = example(2, 3, 9, 5)
    compiled = torch.compile(network_input, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(joints, visible), network_input(joints, visible))


def test_what_does_not_fit_is_named():
    joints, visible = example(2, 3, 9, 5)
    with pytest.raises(ValueError, match="`sigma_px` is 0"):
        pose_heatmaps(joints, visible, (9, 5), 0.0)
    with pytest.raises(ValueError, match=r"`out` is \(2, 2, 9, 5\) but the maps are \(2, 3, 9, 5\)"):
        UNCHECKED(joints, visible, (9, 5), 2.0, out=torch.zeros(2, 2, 9, 5))
