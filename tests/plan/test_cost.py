"""Communication, memory and time against sums by hand."""

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch

from spt_dist import config
from spt_dist.plan.cost import Work
from spt_dist.plan.count import BATCHES, Sizes, StepCounter
from spt_dist.plan.curve import strong, weak
from spt_dist.plan.gpus import GPUS, HDR, NDR, NVLINK4, gpu_named
from spt_dist.plan.memory import ALIGNMENT, Need, checkpoint_bytes, memory, partition
from spt_dist.plan.network import Cluster, engine_traffic, ring
from spt_dist.plan.planner import Planner, divided, recommend
from spt_dist.plan.trace import Op
from spt_dist.train.engine import PlainEngine
from spt_dist.train.saving import write
from spt_dist.train.state import build_networks

MB = 1e6
ONE_NODE = Cluster(8, 8, NVLINK4, NDR)
FOUR_NODES = Cluster(32, 8, NVLINK4, NDR)


def test_a_ring_costs_its_hops_and_its_bytes():
    assert ring(NVLINK4, 8, 80 * MB) == pytest.approx(7 * (4e-6 + 10 * MB / 450e9))
    assert ring(NVLINK4, 1, 80 * MB) == 0
    assert ONE_NODE.all_reduce(80 * MB) == pytest.approx(14 * (4e-6 + 10 * MB / 450e9))
    inside, between = 14 * (4e-6 + 10 * MB / 450e9), 6 * (15e-6 + 2.5 * MB / 50e9)
    assert FOUR_NODES.all_reduce(80 * MB) == pytest.approx(inside + between)
    assert FOUR_NODES.all_gather(80 * MB) == pytest.approx((inside + between) / 2)


def test_what_an_engine_sends_by_zero_stage():
    numbers, part = 1000, 7 / 8
    sent = {zero: engine_traffic(zero, numbers, 10, 1, ONE_NODE).sent_bytes for zero in range(4)}
    psi = 4 * numbers * part
    assert sent == pytest.approx({0: 2 * psi, 1: 3 * psi, 2: 3 * psi, 3: 3 * psi})
    assert engine_traffic(2, numbers, 10, 3, ONE_NODE).sent_bytes == pytest.approx(7 * psi)
    alone = Cluster(1, 8, NVLINK4, NDR)
    assert all(engine_traffic(zero, numbers, 10, 1, alone).seconds == 0 for zero in range(4))


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 1000])
def test_parts_of_all_ranks_make_the_whole(ranks):
    for numbers in (1, 999, 1_000_003):
        whole = ranks * partition(numbers, ranks)
        assert numbers <= whole < numbers + ALIGNMENT * ranks


SIZES = Sizes({"a": 1000, "b": 500}, {"a": 2, "b": 3}, {"a": 1000}, 64)


def test_memory_by_zero_stage_is_the_sum_by_hand():
    phase = Need("a/image", "a", activations=300, gradients=4000, scene=20)
    plain = memory(None, SIZES, phase, 1)
    assert plain.total == 4 * 1500 + 4000 + 8 * 1500 + 4 * 1000 + 320 + 64
    assert memory(0, SIZES, phase, 4) == plain
    first, second, third = (memory(zero, SIZES, phase, 4) for zero in (1, 2, 3))
    assert first.optimizer == 12 * (250 + 126)
    assert first.buckets == 4 * 1000
    assert (first.gradients, second.gradients) == (4000, 1000)
    assert third.parameters == 4 * (250 + 126 + 1500)
    assert memory(1, SIZES, replace(phase, gradients=0), 4, accumulate=3).gradients == 4000


def test_a_planned_checkpoint_has_the_size_of_a_real_one(tmp_path):
    networks = config.Networks(
        semantic=config.Semantic(widths=(32, 48, 64)),
        appearance=config.Appearance(widths=(32, 48, 64), warped_levels=2),
        discriminator=config.Discriminator(widths=(32, 64)),
        pose_detector=config.PoseDetector(width=16, blocks=2),
    )
    settings = config.Config(networks=networks, data=config.Data(image_size=(32, 16)))
    saved = 0
    for name, network in build_networks(networks, 0).items():
        engine = PlainEngine(network, settings.train)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        engine.step(1e-3)
        engine.save(tmp_path / name, write)
        saved += sum(path.stat().st_size for path in (tmp_path / name).iterdir())
        if name in ("semantic", "appearance"):
            saved += 4 * sum(parameter.numel() for parameter in network.parameters())
    planned = checkpoint_bytes(None, StepCounter(settings, as_gpu=False).sizes())
    assert planned == pytest.approx(saved, rel=0.02)


def test_a_gpu_takes_the_slower_of_arithmetic_and_traffic():
    h100 = gpu_named("h100")
    heavy = Op("convolution", (), "float32", 10**12, 10**6)
    assert h100.seconds(heavy) == pytest.approx(1e12 / (0.4 * 494.7e12))  # TF32
    assert h100.seconds(heavy._replace(dtype="bfloat16")) == pytest.approx(1e12 / (0.4 * 989.4e12))
    assert h100.seconds(heavy._replace(name="mm")) == pytest.approx(1e12 / (0.4 * 66.9e12))
    light = Op("add", (), "float32", 0, 3 * 10**9)
    assert h100.seconds(light) == pytest.approx(3e9 / (0.9 * 3.35e12))
    assert {gpu.between for gpu in GPUS.values()} >= {NDR, HDR}


def test_an_unknown_gpu_is_named_with_those_there_are():
    with pytest.raises(config.ConfigError, match=r"`--gpu b300` is not in the table; choose h100, .* or cpu"):
        gpu_named("b300")


def test_a_batch_that_does_not_divide_is_planned_with_the_next_that_does():
    assert divided(config.Data(batch=12), 4, 1) == (12, 3)
    with pytest.warns(UserWarning, match=r"`data\.batch` = 4 does not divide among 8 .*--set data\.batch=8"):
        assert divided(config.Data(batch=4), 8, 1) == (8, 1)


@pytest.fixture(scope="module")
def planner(settings):
    return Planner(settings, gpu_named("h100"))


def test_a_plan_adds_up(planner):
    plan = planner.plan(4)
    assert (plan.batch, plan.micro_batch) == (4, 1)
    for zero in plan.zeros:
        assert zero.fits
        assert zero.hours == pytest.approx(sum(stage.hours for stage in zero.stages))
        for stage in zero.stages:
            assert stage.hours * 3600 == pytest.approx(stage.images / plan.batch * stage.seconds.total)
    assert plan.recommended in (0, 1, 2)
    assert [zero.zero for zero in plan.zeros] == list(get_args(get_type_hints(config.Train)["zero_stage"]))
    one_more = planner.peak(plan.recommended, 4, planner.largest(plan.recommended, 4, 1) + 1, 1)
    assert planner.largest(plan.recommended, 4, 1) == 4096 or one_more.total > planner.device.usable_bytes
    assert recommend(tuple(replace(zero, fits=False) for zero in plan.zeros)) is None


def test_curves_begin_at_one_device_and_bend(planner):
    grown = weak(planner, 1, 1)
    assert grown.efficiency[0] == 1
    assert grown.ranks[-1] == 1000
    assert grown.bend is not None
    assert grown.efficiency[grown.ranks.index(grown.bend)] < 0.8 <= grown.efficiency[grown.ranks.index(grown.bend) - 1]
    kept = strong(planner, 1, 12)
    assert kept.ranks == [1, 2, 3, 4, 6, 12]
    assert kept.pace[0] == pytest.approx(planner.pace(1, 1, 12))


def test_accumulated_micro_batches_update_once(planner):
    work = planner.works["pose"]
    assert isinstance(work, Work)
    once = work.seconds(planner.device, planner.cluster(1), 0, 2, 1).compute
    thrice = work.seconds(planner.device, planner.cluster(1), 0, 2, 3).compute
    update = 1.5 * once - thrice / 2
    assert 0 < update < once
    assert BATCHES[0] < BATCHES[1]
