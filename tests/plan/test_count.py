"""What is counted on fake tensors, against formulas by hand and against torch."""

import pytest
import torch
from spt_kernels import norm_act, part_warp, tile_conv
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spt_dist import config
from spt_dist.plan.count import BATCHES, StepCounter, variants
from spt_dist.plan.memory import need
from spt_dist.plan.trace import Trace
from spt_dist.train.phases import STAGES, phases_of
from spt_dist.train.state import build_networks

B, C, OUT, H, W, K = 2, 6, 10, 12, 8, 3


def traced(call):
    trace = Trace()
    with trace:
        call()
    return trace


def test_a_convolutions_flops_and_bytes_are_those_by_hand():
    conv = nn.Conv2d(C, OUT, K, padding=1, bias=False)
    x = torch.randn(B, C, H, W, requires_grad=True)
    trace = traced(lambda: conv(x).sum().backward())
    forward = 2 * B * OUT * H * W * C * K * K
    by_name = {op.name: op for op in trace.ops}
    assert by_name["convolution"].flops == forward
    assert by_name["convolution"].bytes == 4 * (B * C * H * W + OUT * C * K * K + B * OUT * H * W)
    assert by_name["convolution"].detail == (K, 1, 0, C, OUT, 0)
    assert by_name["convolution_backward"].flops == 2 * forward
    assert by_name["convolution_backward"].detail == (K, 1, 0, C, OUT, 3)


def test_flops_are_those_that_torch_counts():
    net = nn.Sequential(
        nn.Conv2d(C, OUT, 4, 2, 1), nn.ConvTranspose2d(OUT, C, 4, 2, 1), nn.Flatten(), nn.Linear(576, 5)
    )
    x = torch.randn(B, C, H, W)
    with FlopCounterMode(display=False) as counter:
        net(x).sum().backward()
    net.zero_grad(set_to_none=True)
    assert sum(op.flops for op in traced(lambda: net(x).sum().backward()).ops) == counter.get_total_flops() > 0


def test_our_kernels_have_formulas():
    x = torch.randn(B, 64, 16, 16, requires_grad=True)
    weight = torch.randn(64, 64, K, K, requires_grad=True)
    ops = {op.name: op for op in traced(lambda: norm_act(x, 64).sum().backward()).ops}
    assert (ops["norm_act"].flops, ops["norm_act_backward"].flops) == (8 * x.numel(), 14 * x.numel())
    ops = {op.name: op for op in traced(lambda: tile_conv(x, weight, padding=1).sum().backward()).ops}
    direct = 2 * x.numel() * 64 * K * K
    assert {ops[f"tile_conv{kind}"].flops for kind in ("", "_backward_data", "_backward_weight")} == {direct}
    transforms, quads = torch.eye(2, 3).expand(B, 10, 2, 3), torch.zeros(B, 10, 4, 2)
    ops = {op.name: op for op in traced(lambda: part_warp(x, transforms, quads, (16, 16))).ops}
    assert ops["part_warp"].flops == 12.5 * x.numel()


def test_memory_is_counted_by_storage_until_it_is_given_back():
    trace = Trace()
    with trace:
        a = torch.zeros(1000)
        view = a[10:20]
        b = torch.zeros(500)
        del a
        c = torch.zeros(100)
        del b, view
        d = torch.zeros(300)
    assert trace.peak.total == 4 * 1600
    trace.start()
    with trace:
        trace.label([d], "parameters")
        e = torch.zeros(1)
    assert trace.peak.live == {"activations": 4 * 100 + 4, "parameters": 4 * 300}
    del c, d, e


def test_what_autograd_keeps_is_counted_once():
    x = torch.randn(B, C, H, W, requires_grad=True)
    trace = Trace()
    with trace, torch.autograd.graph.saved_tensors_hooks(trace.save, lambda kept: kept):
        y = x.tanh()
        z = y * y
    assert trace.saved_bytes == y.nbytes
    assert z.requires_grad


@pytest.fixture(scope="module")
def counter(settings):
    return StepCounter(settings, as_gpu=False)


def test_parameters_are_those_of_the_networks(counter, settings):
    numbers = {n: sum(p.numel() for p in m.parameters()) for n, m in build_networks(settings.networks, 0).items()}
    assert counter.sizes().parameters == numbers
    part = counter.step("pose", (1.0, False, 1.0), 2).parts[1]
    assert part.peak.live["parameters"] == 4 * sum(numbers.values())
    assert 8 * sum(numbers.values()) <= part.peak.live["optimizer"] < 8.1 * sum(numbers.values()) + 4000
    assert part.peak.live["averages"] == 4 * (numbers["semantic"] + numbers["appearance"])


@pytest.mark.parametrize("stage", STAGES)
def test_work_and_memory_are_lines_in_the_batch(counter, settings, stage):
    variant = variants(settings, stage)[-1]
    small, large = (counter.step(stage, variant, batch) for batch in BATCHES)
    beyond = counter.step(stage, variant, 6)
    assert [part.network for part in beyond.parts[1:]] == [p.network for p in phases_of(stage, settings.losses)]
    for a, b, c in zip(small.parts, large.parts, beyond.parts, strict=True):
        assert [op.name for op in a.ops] == [op.name for op in b.ops] == [op.name for op in c.ops]
        for attribute in ("flops", "bytes"):
            first, second, last = (sum(getattr(op, attribute) for op in part.ops) for part in (a, b, c))
            assert last == pytest.approx(first + 4 * (second - first), rel=2e-3)
        if c.network:
            planned = need(a, b, 6)
            assert planned.activations == pytest.approx(c.peak.live["activations"] + c.peak.workspace, rel=0.02)


def test_counting_leaves_nothing_behind(counter, settings):
    """No fake tensor in the tables that geometry keeps, and no GPU's path on a processor."""
    from spt_dist.bench_steps import drawn_pairs
    from spt_dist.train.scene import build_scene

    StepCounter(settings, as_gpu=True).step("appearance", (1.0, False, 1.0), 2)
    scene = build_scene(drawn_pairs((32, 16), 2), settings, None, False)
    assert type(scene.source.maps) is torch.Tensor
    assert scene.there.transforms.isfinite().all()
    assert any(op.name == "tile_conv" for op in traced(lambda: tile_conv(*_large(), padding=1)).ops)


def _large():
    return torch.randn(1, 64, 16, 16), torch.randn(64, 64, 3, 3)


def test_variants_follow_warm_up_and_fade_in():
    appearance = config.Appearance(local_enhancer=True)
    stage = config.Stage(images=10, warm_up=0.1, fade_in=(0.4, 0.6))
    settings = config.Config(
        networks=config.Networks(appearance=appearance), stages=config.Stages(appearance=stage, pose=stage)
    )
    shares = {(own, alpha): share for share, own, alpha in variants(settings, "appearance")}
    assert shares == pytest.approx({(True, 0.0): 0.1, (False, 0.0): 0.3, (False, 0.5): 0.2, (False, 1.0): 0.4})
    assert variants(settings, "pose") == [(1.0, False, 1.0)]
