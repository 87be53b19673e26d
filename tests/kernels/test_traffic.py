"""What the kernels move and multiply on real people, against the least that would do."""

import itertools
import json
import typing

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from spt_kernels.part_warp import _triton as warp
from spt_kernels.part_warp import cost as warp_cost
from spt_kernels.part_warp.reference import ndc_transforms
from spt_kernels.proof.traffic import table, total, traffic
from spt_kernels.semantic_gram import _triton as gram
from spt_kernels.semantic_gram import cost as gram_cost

from spt_dist import geometry
from spt_dist.data.importers import parse_keypoints, read_folder

IMAGE, SIZE, CHANNELS = (256, 256), (128, 128), 128
REGIONS = tuple(range(2, 10))
DATA_SETS = ("spt_demo", "ccp256")
MOST_FLOPS = {"spt_demo": 1.8, "ccp256": 2.2}  # people cover less of ccp256's pictures, so more of it is border
LONG = [pytest.mark.thorough, pytest.mark.timeout(3600)]
MANY = [pytest.param(data_set, 3, id=f"{data_set}, more", marks=LONG) for data_set in DATA_SETS]  # pairs of people


def people(data, data_set):
    """Label map [1 256 256] and joints [1 18 3] of each picture."""
    if data_set == "ccp256":
        for sample in read_folder(data / data_set, "test"):
            yield torch.from_numpy(sample.labels)[None], torch.from_numpy(sample.joints)[None]
        return
    for line in (data / data_set / "imgs" / "keypoints.csv").read_text().splitlines()[1:]:
        name, ys, xs = line.split(":")
        labels = np.load(data / data_set / "parsing" / f"{name.removesuffix('.jpg')}.npy").astype(np.uint8)
        joints = parse_keypoints(json.dumps(json.loads(ys)), json.dumps(json.loads(xs)), name)
        yield torch.from_numpy(labels)[None], torch.from_numpy(joints)[None]


def pairs(data, data_set, count):
    """Neighbours in the data set: a source and a target."""
    return itertools.islice(itertools.pairwise(people(data, data_set)), count)


def random_features(channels=CHANNELS):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *SIZE, generator=generator).to(memory_format=torch.channels_last)


def compare(name, launches, floor):
    """Ratios to the floor: flops, and bytes in sectors of the launch and of each program."""
    moved = total(launches)
    unique = (moved.read.unique + moved.written.unique) / floor.bytes
    per_program = (moved.read.per_program + moved.written.per_program) / floor.bytes
    flops = moved.flops / floor.flops
    print(f"\n{table(launches)}\n{name}: flops x{flops:.2f}, launch bytes x{unique:.2f}, program x{per_program:.2f}")
    return flops, unique, per_program


def plus(a, b):
    return type(a)(a.bytes + b.bytes, a.flops + b.flops)


@pytest.mark.parametrize(("data_set", "count"), [pytest.param("spt_demo", 1, marks=LONG), *MANY])
def test_gram_matrices_are_near_the_floor(data, data_set, count):
    features = random_features()
    for (labels, _), _ in pairs(data, data_set, count):
        grams = torch.empty(1, len(REGIONS), CHANNELS, CHANNELS)
        with traffic() as launches:
            gram.forward(features, labels, REGIONS, gram.find(labels, REGIONS, SIZE), grams)
            forward_launches = len(launches)
            gram.backward(grams, features, labels, REGIONS, torch.empty_like(features))
        floors = [cost(features, labels, REGIONS) for cost in (gram_cost.forward_cost, gram_cost.backward_cost)]
        compare("forward", launches[:forward_launches], floors[0])
        compare("backward", launches[forward_launches:], floors[1])
        flops, unique, _ = compare(f"Gram matrices, {data_set}", launches, plus(*floors))
        assert flops <= MOST_FLOPS[data_set]
        assert unique <= 1.6


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_the_style_loss_is_near_the_floor(data, data_set):
    features = random_features()
    for (labels_a, _), (labels_b, _) in pairs(data, data_set, 2):
        grams = torch.empty(3, 1, len(REGIONS), CHANNELS, CHANNELS)
        with traffic() as launches:
            found_a, found_b = (gram.find(labels, REGIONS, SIZE) for labels in (labels_a, labels_b))
            asked = (labels_b, found_b), (labels_a, found_a), (labels_a, found_a)
            for result, (labels, found) in zip(grams, asked, strict=True):
                gram.forward(features, labels, REGIONS, found, result)
            gram.compare(grams, found_a, found_b, SIZE[0] * SIZE[1], False)
            for pulls, labels in ((grams[0], labels_b), (grams[2], labels_a)):
                gram.backward(pulls, features, labels, REGIONS, torch.empty_like(features))
        floor = plus(*(
            cost(features, labels_a, labels_b, REGIONS)
            for cost in (gram_cost.style_forward_cost, gram_cost.style_backward_cost)
        ))  # fmt: skip
        flops, unique, _ = compare(f"style loss, {data_set}", launches, floor)
        assert flops <= MOST_FLOPS[data_set]
        assert unique <= 1.6


@pytest.mark.parametrize(("data_set", "count"), [pytest.param("ccp256", 1, marks=LONG), ("spt_demo", 1), *MANY])
def test_warps_are_near_the_floor(data, data_set, count):
    """Forward and backward together, the winners' bytes counted as ours."""
    features = random_features(32)  # each block of channels moves as much
    for (_, source), (_, target) in pairs(data, data_set, count):
        transforms = geometry.part_transforms(target, source, IMAGE)
        quads = geometry.part_quads(target, IMAGE)
        ndc = ndc_transforms(transforms, SIZE, IMAGE)
        with traffic() as launches:
            values, winners = warp.forward(features, ndc, quads, IMAGE)
            warp.backward(values, winners, ndc, quads, IMAGE)
        costs = (warp_cost.forward_cost, warp_cost.backward_cost)
        floors = [cost(features, transforms, quads, IMAGE) for cost in costs]
        for name, launch, floor in zip(("forward", "backward"), launches, floors, strict=True):
            compare(name, [launch], floor)
        _, unique, per_program = compare(f"warp, {data_set}", launches, plus(*floors))
        print(f"of which the winning parts, a byte each way: x{2 * features.numel() / plus(*floors).bytes:.2f}")
        assert unique <= 1.15
        assert per_program <= 1.5


@triton.jit
@typing.no_type_check
def _dense_gram_kernel(features, masks, grams, pixels, C: tl.constexpr, N: tl.constexpr):
    """Every pixel times every region's mask: features [n C] -> one region's matrix."""
    c = tl.arange(0, C)
    gram = tl.zeros((C, C), tl.float32)
    for start in range(0, pixels, N):
        n = start + tl.arange(0, N)
        value = tl.load(features + n[:, None] * C + c[None, :])
        value *= tl.load(masks + tl.program_id(0) * pixels + n)[:, None]
        gram = tl.dot(tl.trans(value), value, gram)
    tl.store(grams + tl.program_id(0) * C * C + c[:, None] * C + c[None, :], gram)


def test_dense_masks_are_far_from_the_floor(data):
    labels, _ = next(people(data, "spt_demo"))
    features, pixels = random_features(), SIZE[0] * SIZE[1]
    masks = (labels[:, None, ::2, ::2] == torch.tensor(REGIONS)[:, None, None]).float()
    grams = torch.empty(1, len(REGIONS), CHANNELS, CHANNELS)
    with traffic() as launches:
        _dense_gram_kernel[len(REGIONS),](features, masks, grams, pixels, C=CHANNELS, N=512)
    floor = gram_cost.forward_cost(features, labels, REGIONS)
    flops, unique, per_program = compare("dense masks", launches, floor)
    assert flops > 10
    assert unique > 1.6
    assert per_program > 10


def test_counts_are_right():
    features = torch.zeros(64, 16)
    with traffic() as launches:
        _dense_gram_kernel[2,](features, torch.zeros(2, 64), torch.zeros(2, 16, 16), 64, C=16, N=32)
    (launch,) = launches
    assert (launch.kernel, launch.grid) == ("_dense_gram_kernel", (2,))
    assert launch.flops == 2 * 2 * 16 * 16 * 64
    assert launch.read.requested == launch.read.per_program == 2 * 4 * (64 * 16 + 64)
    assert launch.read.unique == 4 * (64 * 16 + 2 * 64)
    assert launch.written.requested == launch.written.unique == 2 * 4 * 16 * 16
    assert launch.atomics == 0
