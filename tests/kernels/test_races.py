"""No kernel races or leaves its tensors, on ugly sizes; and a kernel that does is caught."""

import typing

import pytest
import torch
import triton
import triton.language as tl
from spt_kernels.norm_act import _triton as norm
from spt_kernels.part_masks import _triton as masks
from spt_kernels.part_warp import _triton as warp
from spt_kernels.pose_heatmaps import _triton as heatmaps
from spt_kernels.proof.races import races
from spt_kernels.semantic_gram import _triton as gram

ORDERED = ("_semantic_gram_forward_kernel",)  # shares of one region add up in turn, by a flag
SIZES = [  # b, c, h, w
    pytest.param(1, 1, 1, 1, id="one pixel"),
    pytest.param(2, 3, 5, 7, id="odd"),
    pytest.param(1, 17, 9, 17, id="one past a block"),
]


def random_maps(b, c, h, w):
    """Maps whose neighbours in memory are other tensors."""
    generator = torch.Generator().manual_seed(b + c + h + w)
    return torch.randn(b, c, h, w, generator=generator)


@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("b", "c", "h", "w"), SIZES)
def test_shipped_kernels_are_clean(b, c, h, w, channels_last):
    maps = random_maps(b, c, h, w)
    maps = maps.contiguous(memory_format=torch.channels_last) if channels_last else maps
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (b, 2 * h, 2 * w), generator=generator, dtype=torch.uint8)
    ndc = torch.eye(2, 3) + 0.3 * torch.randn(b, 3, 2, 3, generator=generator)
    quads = torch.rand(b, 3, 4, 2, generator=generator, dtype=torch.float64) * 2 * max(h, w)
    one, size = torch.ones(1), (2 * h, 2 * w)
    with races() as found:
        regions, grams = (1, 2), torch.empty(3, b, 2, c, c)
        places = gram.find(labels, regions, (h, w))
        for result in grams:
            gram.forward(maps, labels, regions, places, result)
        gram.compare(grams, places, places, h * w, True)
        gram.backward(grams[0], maps, labels, regions, torch.empty_like(maps))
        values, winners = warp.forward(maps, ndc, quads, size)
        warp.backward(values, winners, ndc, quads, size)
        masks.forward(quads, size)
        heatmaps.forward(torch.rand(b, c, 2), torch.ones(b, c, dtype=torch.bool), 2.0, torch.empty(b, c, h, w))
        for groups in (1, c):
            result, mean, rstd = norm.forward(maps, groups, one, one, 1e-5, 0.2)
            norm.backward(result, maps, mean, rstd, one, one, 0.2)
    assert found == []


def test_shares_of_a_region_take_turns():
    maps, labels = random_maps(1, 4, 65, 52), torch.ones(1, 65, 52, dtype=torch.uint8)
    for ordered, lines in (((), 1), (ORDERED, 0)):  # they do share the result: only their turns keep it whole
        with races(ordered) as found:
            gram.forward(maps, labels, (1,), gram.find(labels, (1,), (65, 52)), torch.empty(1, 1, 4, 4))
        assert len(found) == lines


@triton.jit
@typing.no_type_check
def _shared_store_kernel(result, N: tl.constexpr):
    tl.store(result + tl.program_id(0) * (N - 1) + tl.arange(0, N), 1.0)


@triton.jit
@typing.no_type_check
def _neighbour_kernel(result, N: tl.constexpr):
    here = tl.program_id(0) * N + tl.arange(0, N)
    there = (here + N) % (N * tl.num_programs(0))
    tl.store(result + here, tl.load(result + there))


@triton.jit
@typing.no_type_check
def _unmasked_kernel(x, result, N: tl.constexpr):
    tl.store(result + tl.arange(0, N), tl.load(x + tl.arange(0, N)))


@triton.jit
@typing.no_type_check
def _summing_kernel(result, N: tl.constexpr):
    tl.atomic_add(result + tl.arange(0, N), 1.0)


def test_races_are_caught():
    with races() as found:
        _shared_store_kernel[3,](torch.empty(24), N=8)
        _neighbour_kernel[3,](torch.zeros(24), N=8)
        _summing_kernel[3,](torch.zeros(8), N=8)
    assert found == [
        "`_shared_store_kernel`: 2 elements of `result` are shared by several programs",
        "`_neighbour_kernel`: 24 elements of `result` are shared by several programs",
    ]


@pytest.mark.parametrize(("sizes", "kind"), [((7, 8), "read"), ((8, 7), "write")])
def test_accesses_out_of_bounds_are_caught(sizes, kind):
    x, result = (torch.zeros(size) for size in sizes)
    with (
        pytest.raises(Exception, match=rf"`_unmasked_kernel`, program 0, {kind}: 1 elements outside of its tensors"),
        races(),
    ):
        _unmasked_kernel[1,](x, result, N=8)
