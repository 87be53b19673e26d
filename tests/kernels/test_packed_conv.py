"""`packed_conv` against torch's convolution: values, ugly sizes, parts of any layout, and what falls back."""

import inspect

import pytest
import torch
from spt_kernels import pack, pack_transposed, packed_conv, packed_conv_transposed
from spt_kernels.packed_conv import op
from torch.nn import functional as F
from torch.testing import assert_close

LAST = torch.channels_last

# (batch, channels of the parts, out, height, width, kernel)
SHAPES = [
    (1, (3, 9, 18), 32, 16, 24, 3),
    (2, (1,), 16, 1, 1, 3),
    (3, (17, 5), 48, 7, 13, 3),
    (1, (256,), 64, 10, 6, 4),  # pixels that are set apart
    (2, (512, 256), 32, 4, 2, 4),
    (3, (32,), 80, 34, 22, 4),
    (2, (300,), 16, 9, 11, 4),  # odd sizes, and a run that is no multiple of a pass
    (1, (64, 32, 32), 3, 33, 17, 3),  # a picture's head
    (2, (24, 8), 10, 5, 1, 3),
    (1, (7,), 1, 1, 9, 3),
]
# (batch, channels of the parts, out, height, width)
DOUBLED = [
    (1, (1,), 16, 1, 1),
    (2, (512, 256, 256), 16, 4, 3),
    (3, (33, 7), 32, 5, 8),
    (1, (64, 32, 32), 64, 32, 33),  # tiles
    (3, (64,), 16, 47, 21),
    (1, (72, 8), 48, 31, 61),
    (2, (61, 4), 16, 40, 30),  # many pixels, channels that tiles do not take
]


def tensors(b, parts, h, w, weight, last, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(b, c, h, w, generator=generator) for c in parts]
    fan_in = sum(parts) * weight[-1] ** 2
    scaled = torch.randn(weight, generator=generator) / fan_in**0.5
    return [part.contiguous(memory_format=LAST) for part in maps] if last else maps, scaled


def assert_near(found, truth):
    assert found.shape == truth.shape
    assert float((found - truth).abs().max() / truth.abs().max()) < 1e-5


@pytest.fixture
def no_torch(monkeypatch):
    """Packed weights, or nothing."""

    def forbid():
        monkeypatch.setattr(F, "conv2d", None)
        monkeypatch.setattr(F, "conv_transpose2d", None)

    return forbid


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("last", [True, False], ids=["channels-last", "planes"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_packed_convolution_is_torchs(shape, last, slope, no_torch):
    b, parts, outputs, h, w, kernel = shape
    maps, weight = tensors(b, parts, h, w, (outputs, sum(parts), kernel, kernel), last)
    bias = torch.randn(outputs) if kernel == 3 else None
    x = F.leaky_relu(torch.cat(maps, dim=1).double(), slope)
    stride = {3: 1, 4: 2}[kernel]
    truth = F.conv2d(x, weight.double(), None if bias is None else bias.double(), stride=stride, padding=1)
    packed = pack(weight)
    no_torch()
    found = packed_conv(maps, weight, bias, packed, stride, slope)
    assert found.is_contiguous(memory_format=LAST)
    assert_near(found, truth)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("slope", [0.0, 1.0])
@pytest.mark.parametrize("last", [True, False], ids=["channels-last", "planes"])
@pytest.mark.parametrize("shape", DOUBLED, ids=str)
def test_a_packed_doubling_is_torchs(shape, last, slope, no_torch):
    b, parts, outputs, h, w = shape
    maps, weight = tensors(b, parts, h, w, (sum(parts), outputs, 4, 4), last)
    x = F.leaky_relu(torch.cat(maps, dim=1).double(), slope)
    truth = F.conv_transpose2d(x, weight.double(), stride=2, padding=1)
    packed = pack_transposed(weight)
    no_torch()
    assert_near(packed_conv_transposed(maps, weight, *packed, slope), truth)


def test_tiles_are_taken_for_many_pixels_only(monkeypatch):
    taken, doubled = [], op._doubled
    monkeypatch.setattr(
        op, "_doubled", lambda maps, packed, slope: taken.append(len(packed)) or doubled(maps, packed, slope)
    )
    weight = torch.randn(64, 16, 4, 4)
    packed = pack_transposed(weight)
    for size in ((32, 32), (31, 33)):
        packed_conv_transposed([torch.randn(1, 64, *size)], weight, *packed)
    assert taken == [36, 4]


def test_a_part_may_be_a_slice_of_planes():
    whole, weight = torch.randn(2, 28, 9, 8), torch.randn(16, 12, 3, 3)
    maps = [whole[:, 10:13], whole[:, 1:10]]
    assert_near(packed_conv(maps, weight, None, pack(weight)), F.conv2d(torch.cat(maps, 1), weight, padding=1))


def test_a_nan_reaches_the_result():
    x, weight = torch.zeros(1, 16, 8, 8), torch.ones(16, 16, 3, 3)
    x[0, 3, 4, 4] = torch.nan
    assert packed_conv([x], weight, None, pack(weight), slope=0.0).isnan().sum() == 16 * 9


def test_what_is_not_packed_is_torchs_own():
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(5, 8, 4, 4)
    assert torch.equal(packed_conv([x], weight, None, None, 2, 0.2), F.conv2d(F.leaky_relu(x, 0.2), weight, None, 2, 1))
    weight = torch.randn(8, 5, 4, 4)
    found = packed_conv_transposed([x], weight, *pack_transposed(weight))
    assert torch.equal(found, F.conv_transpose2d(x, weight, stride=2, padding=1))


def test_what_is_of_no_use_is_not_packed():
    assert pack(torch.zeros(20, 8, 3, 3)) is None
    assert pack(torch.zeros(3, 8, 4, 4)) is None
    assert pack(torch.zeros(16, 8, 5, 5)) is None
    assert pack(torch.zeros(16, 8, 3, 3, dtype=torch.float64)) is None
    assert pack(torch.zeros(32, 8, 4, 4)).shape == (2, 128, 16)
    assert pack(torch.zeros(3, 8, 3, 3)).shape == (2, 8, 16)
    assert pack_transposed(torch.zeros(64, 8, 4, 4)) == (None, None)
    assert pack_transposed(torch.zeros(64, 16, 4, 4, dtype=torch.float64)) == (None, None)
    phases, tiles = pack_transposed(torch.zeros(64, 16, 4, 4))
    assert (phases.shape, tiles.shape) == ((4, 1, 256, 16), (36, 4, 64, 16))
    assert pack_transposed(torch.zeros(63, 16, 4, 4))[1] is None
    assert pack_transposed(torch.zeros(1536, 512, 4, 4))[1] is None


def test_torch_knows_the_packed_forms():
    maps, weight = tensors(1, (16, 48), 32, 32, (16, 64, 3, 3), last=True)
    torch.library.opcheck(op._conv, (maps, pack(weight), torch.randn(16), 16, 3, 0.2))
    head = torch.randn(3, 64, 3, 3)
    torch.library.opcheck(op._conv, (maps, pack(head), None, 3, 3, 0.0))
    for packed in pack_transposed(torch.randn(64, 16, 4, 4)):
        torch.library.opcheck(op._doubled, (maps, packed, 0.0))


def test_the_result_is_the_same_each_time_and_on_any_number_of_threads():
    maps, weight = tensors(2, (64, 32), 40, 24, (96, 16, 4, 4), last=True)
    packed, threads, found = pack_transposed(weight), torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(packed_conv_transposed(maps, weight, *packed, 0.0))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)


def test_the_ops_compile_as_one_graph():
    maps, weight = tensors(1, (16, 48), 8, 8, (16, 64, 3, 3), last=True)
    packed = pack(weight)
    compiled = torch.compile(inspect.unwrap(packed_conv), fullgraph=True, backend="aot_eager")  # without shapes' checks
    with torch.no_grad():
        assert_close(compiled(maps, weight, None, packed, 1, 0.2), packed_conv(maps, weight, None, packed, 1, 0.2))
