import pytest
import torch
from torch import nn

from spt_dist import config
from spt_dist.data.pipeline import micro_batch
from spt_dist.train.ema import Ema
from spt_dist.train.phases import phases_of
from spt_dist.train.state import Position, fade_in, learning_rate


def test_learning_rate_falls_over_the_last_fraction():
    assert [learning_rate(2.0, f, 0.5) for f in (0.0, 0.5, 0.75, 1.0)] == [2.0, 2.0, 1.0, 0.0]
    assert learning_rate(2.0, 0.99, 0.0) == 2.0


def test_fade_in_is_linear_between_its_fractions():
    assert [fade_in(f, (0.4, 0.6)) for f in (0.0, 0.4, 0.6, 1.0)] == [0.0, 0.0, 1.0, 1.0]
    assert fade_in(0.5, (0.4, 0.6)) == pytest.approx(0.5)
    assert fade_in(0.0, (0.0, 0.0)) == 1.0


def test_fraction_counts_images_of_the_stage():
    stages = config.Stages(semantic=config.Stage(images=200))
    assert Position("semantic", 50, 1000).fraction(stages) == 0.25


def test_ema_forgets_half_after_its_half_life():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Ema(module, half_life_imgs=10)
    average.seen_imgs = 10**6  # past the ramp-up
    nn.init.ones_(module.weight)
    average.update(module, 10)
    assert average.module.weight.item() == pytest.approx(0.5)
    average.update(module, 10)
    assert average.module.weight.item() == pytest.approx(0.75)


def test_ema_follows_closely_at_first():
    module = nn.Linear(1, 1, bias=False)
    average = Ema(module, half_life_imgs=1e6)
    nn.init.ones_(module.weight)
    average.update(module, 8)  # half-life 0.4 images
    torch.testing.assert_close(average.module.weight, module.weight, atol=1e-5, rtol=0)


def test_a_batch_must_divide_among_workers_and_micro_batches():
    data = config.Data(batch=12)
    assert micro_batch(data, ranks=3, accumulate=2) == 2
    with pytest.raises(config.ConfigError, match=r"`data.batch` = 12 does not divide among 5 worker.*multiple of 10"):
        micro_batch(data, ranks=5, accumulate=2)


def test_a_discriminator_without_weight_has_no_phase():
    names = [phase.network for phase in phases_of("appearance", config.LossWeights(face=0.0))]
    assert names == ["appearance", "image_discriminator"]
    assert [phase.discriminates for phase in phases_of("appearance", config.LossWeights())] == [False, True, True]
