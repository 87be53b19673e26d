"""The plain engine against Adam by hand, and freezing that survives an exception."""

import copy

import pytest
import torch
from torch import nn

from spt_dist import config
from spt_dist.train.engine import PlainEngine, frozen_except
from spt_dist.train.saving import write


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))


def batch(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(8, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("clip", "clipped"), [(0.0, False), (0.5, True), (1e6, False)])
def test_clipping_acts_on_the_gradient_that_steps(clip, clipped):
    engine = PlainEngine(network(), config.Train(clip=clip, betas=(0.0, 0.0)))
    by_hand = copy.deepcopy(engine.module)
    loss = by_hand(batch(10.0)).square().mean() * 100
    gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    assert norm > 1
    factor = clip / (norm + 1e-6) if clipped else 1.0
    # Adam without memory divides a gradient by its own size: only epsilon shows how large it was.
    engine.optimizer.param_groups[0]["eps"] = 1.0
    engine.backward(engine(batch(10.0)).square().mean() * 100)
    engine.step(0.1)
    for parameter, before, gradient in zip(engine.module.parameters(), by_hand.parameters(), gradients, strict=True):
        g = gradient * factor
        torch.testing.assert_close(parameter, before - 0.1 * g / (g.abs() + 1.0), atol=1e-6, rtol=1e-5)


def test_accumulated_micro_batches_are_one_batch():
    whole, parts = PlainEngine(network(), config.Train()), PlainEngine(network(), config.Train(accumulate=4))
    for _ in range(3):
        whole.backward(whole(batch()).square().mean())
        whole.step(1e-2)
        for micro in batch().chunk(4):
            parts.backward(parts(micro).square().mean())
            parts.step(1e-2)
    for one, other in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=0)


def test_only_the_trained_network_is_unfrozen():
    engines = {name: PlainEngine(network(), config.Train()) for name in ("drawer", "judge")}
    with frozen_except("drawer", engines) as trained:
        assert trained is engines["drawer"]
        assert all(p.requires_grad for p in engines["drawer"].module.parameters())
        assert not any(p.requires_grad for p in engines["judge"].module.parameters())
        assert engines["drawer"].module.training
        assert not engines["judge"].module.training
        engines["judge"].module(engines["drawer"].module(batch()).expand(8, 5)).sum().backward()
        assert all(p.grad is None for p in engines["judge"].module.parameters())
        assert all(p.grad is not None for p in engines["drawer"].module.parameters())


def fail_while_training(engines):
    with frozen_except("drawer", engines):
        raise RuntimeError("in the middle")


def test_an_exception_unfreezes_all():
    engines = {name: PlainEngine(network(), config.Train()) for name in ("drawer", "judge")}
    with pytest.raises(RuntimeError, match="in the middle"):
        fail_while_training(engines)
    assert all(p.requires_grad for engine in engines.values() for p in engine.module.parameters())


def test_a_saved_engine_goes_on_bit_equal(tmp_path):
    first = PlainEngine(network(), config.Train())
    for step in range(4):
        if step == 2:
            first.save(tmp_path, write)
        first.backward(first(batch(1.0 + step)).square().mean())
        first.step(1e-2)
    torch.manual_seed(9)
    second = PlainEngine(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)), config.Train())
    second.load(tmp_path, ranks=1)
    for step in (2, 3):
        second.backward(second(batch(1.0 + step)).square().mean())
        second.step(1e-2)
    for one, other in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(one, other)
