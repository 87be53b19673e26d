"""Every spelling of `part_masks` against its definition, to the pixel."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spt_kernels import part_masks
from spt_kernels.part_masks import _triton, cpu, reference
from torch.testing import assert_close

FORMS = pytest.mark.parametrize("form", [cpu, _triton], ids=["cpu", "triton"])
SIZES = [
    pytest.param((1, 1), id="one pixel"),
    pytest.param((9, 7), id="odd"),
    pytest.param((17, 129), id="one past a tile"),
]


def run(form, quads, size):
    device = "cuda" if form is _triton and torch.cuda.is_available() else "cpu"
    return form.forward(quads.to(device), size).cpu()


def quad(*corners):
    return torch.tensor(corners, dtype=torch.float64).reshape(1, -1, 4, 2)


def random_quads(parts, size, seed=0, rounded=False):
    """Convex, concave and crossed ones, partly outside; on whole or half pixels, many centres lie on borders."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size[1], size[0]], dtype=torch.float64)
    quads = (torch.rand(2, parts, 4, 2, generator=generator, dtype=torch.float64) * 1.5 - 0.25) * scale
    quads = (2 * quads).round() / 2 if rounded else quads
    quads[0, 0] = torch.nan
    return quads


def winding(corners, x, y):
    """Whether the centre lies inside, by the angles under which it sees the edges; for points off the border."""
    turn = 0.0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        angle = math.atan2(y1 - y, x1 - x) - math.atan2(y0 - y, x0 - x)
        turn += (angle + math.pi) % (2 * math.pi) - math.pi
    return abs(turn) > math.pi


def test_the_reference_agrees_with_winding_angles():
    corners = [(1.3, 0.7), (9.2, 2.4), (7.6, 8.1), (2.2, 6.4)]
    mask = reference.part_masks(quad(*corners), (10, 11))[0, 0]
    assert mask.tolist() == [[winding(corners, x, y) for x in range(11)] for y in range(10)]


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("rounded", [False, True], ids=["anywhere", "on borders"])
@pytest.mark.parametrize("size", SIZES)
@FORMS
def test_equals_the_reference(form, size, rounded):
    for seed in range(3):
        quads = random_quads(4, size, seed, rounded)
        assert torch.equal(run(form, quads, size), reference.part_masks(quads, size))


@FORMS
def test_absent_everywhere_one_pixel_and_a_border(form):
    size = (3, 4)
    assert not run(form, torch.full((1, 1, 4, 2), torch.nan, dtype=torch.float64), size).any()
    half_known = quad((torch.nan, 0), (3, 0), (3, 3), (0, 3))
    assert torch.equal(run(form, half_known, size), reference.part_masks(half_known, size))
    assert run(form, quad((-1, -1), (4, -1), (4, 3), (-1, 3)), size).all()
    assert run(form, quad((0.6, 0.6), (1.4, 0.6), (1.4, 1.4), (0.6, 1.4)), size).nonzero().tolist() == [[0, 0, 1, 1]]
    assert run(form, quad((1, 0), (2, 0), (2, 2), (1, 2)), size)[0, 0, :, 1:3].all()
    assert not run(form, quad((50, 50), (60, 50), (60, 60), (50, 60)), size).any()


@FORMS
def test_upright_rectangles_and_points(form):
    generator = torch.Generator().manual_seed(0)
    low = (8 * torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)).round() / 2 - 0.5
    high = low + (6 * torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)).round() / 2
    x0, y0, x1, y1 = *low.unbind(-1), *high.unbind(-1)
    for turned in ([x0, y0, x1, y0, x1, y1, x0, y1], [x0, y0, x0, y1, x1, y1, x1, y0]):
        quads = torch.stack(turned, dim=-1).unflatten(-1, (4, 2))
        assert torch.equal(run(form, quads, (7, 6)), reference.part_masks(quads, (7, 6)))


@FORMS
def test_any_strides(form):
    quads = random_quads(4, (9, 7))
    strided = quads.mT.contiguous().mT
    assert not strided.is_contiguous()
    assert torch.equal(run(form, strided, (9, 7)), reference.part_masks(quads, (9, 7)))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.floats(-20, 30), min_size=8, max_size=8))
def test_the_compiled_form_agrees_anywhere(corners):
    quads = torch.tensor(corners, dtype=torch.float64).reshape(1, 1, 4, 2)
    assert torch.equal(cpu.forward(quads, (11, 13)), reference.part_masks(quads, (11, 13)))


def test_torch_accepts_the_op():
    quads = random_quads(2, (5, 6))
    assert_close(part_masks(quads.float(), (5, 6)), reference.part_masks(quads.float(), (5, 6)))
    torch.library.opcheck(torch.ops.spt_kernels.part_masks, (quads, 5, 6))


def test_the_op_compiles_as_one_graph():
    quads = random_quads(2, (5, 6))
    compiled = torch.compile(torch.ops.spt_kernels.part_masks, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(quads, 5, 6), reference.part_masks(quads, (5, 6)))
