"""Dropout of a divided batch: the whole batch's, whoever draws which part."""

import pytest
import torch

from spt_dist.models.blocks import UpBlock
from spt_dist.models.noise import Rows, Seeded, drop_channels, noise_of

BATCH, KEY = 6, (7, 120)


def masks(ranks, accumulate, key=KEY, purpose="appearance", calls=2, times=1):
    """What every row of the batch gets in each of the calls, put together from its parts."""
    share = BATCH // ranks // accumulate
    drawn = torch.empty(calls, times, BATCH, 5)
    for first in range(0, BATCH, share):
        with noise_of(Rows(key, BATCH, first, share), purpose):
            for call in range(calls):
                dropped = drop_channels(torch.ones(times * share, 5, 2, 3), 0.5)
                assert torch.equal(dropped, dropped[:, :, :1, :1].expand_as(dropped))  # whole channels
                drawn[call, :, first : first + share] = dropped[:, :, 0, 0].reshape(times, share, 5)
    return drawn


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (1, 2), (3, 1), (1, 3), (3, 2), (6, 1)])
@pytest.mark.parametrize("times", [1, 2])  # rows there and back may come as one batch
def test_rows_drop_the_same_channels_in_any_division(ranks, accumulate, times):
    assert torch.equal(masks(ranks, accumulate, times=times), masks(1, 1, times=times))


def test_every_call_step_network_and_seed_has_its_own():
    usual = masks(1, 1)
    assert set(usual.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(usual[0], usual[1])
    assert not torch.equal(usual, masks(1, 1, key=(8, 120)))
    assert not torch.equal(usual, masks(1, 1, key=(7, 126)))
    assert not torch.equal(usual, masks(1, 1, purpose="semantic"))
    assert torch.equal(usual, masks(1, 1))


def test_the_rate_is_the_rate():
    with noise_of(Rows((0,), 64, 0, 64), "any"):
        drawn = drop_channels(torch.ones(64, 256, 1, 1), 0.25)
    assert (drawn == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert drawn.mean().item() == pytest.approx(1.0, abs=0.02)


def test_without_rows_it_is_torchs_own():
    torch.manual_seed(0)
    expected = torch.nn.functional.dropout2d(torch.ones(4, 8, 2, 2), 0.5)
    torch.manual_seed(0)
    assert torch.equal(drop_channels(torch.ones(4, 8, 2, 2), 0.5), expected)
    with noise_of(None, "any"):
        torch.manual_seed(0)
        assert torch.equal(drop_channels(torch.ones(4, 8, 2, 2), 0.5), expected)


def seeded(seeds, calls=2):
    noise = Seeded(seeds)
    return torch.stack([drop_channels(torch.ones(len(seeds), 64, 2, 3), 0.5, noise)[:, :, 0, 0] for _ in range(calls)])


def test_a_drawn_pictures_noise_follows_its_seed_alone():
    together = seeded([7, None, 8, 7])
    assert torch.equal(together[:, :1], seeded([7]))
    assert torch.equal(together[:, 0], together[:, 3])
    assert not torch.equal(together[:, 0], together[:, 2])
    assert not torch.equal(together[0, 0], together[1, 0])  # every layer has its own
    assert torch.equal(together[:, 1], torch.ones(2, 64))
    assert set(together[:, 0].unique().tolist()) == {0.0, 2.0}


def test_a_network_that_draws_has_noise_only_by_a_seed():
    block, x = UpBlock(4, 64, dropout=0.5).eval(), torch.ones(1, 4, 2, 3)
    plain = block(x)
    assert torch.equal(block(x, Seeded([None])), plain)
    with noise_of(Rows((0,), 1, 0, 1), "appearance"):  # an average that draws beside a network in training
        assert torch.equal(block(x), plain)
    noisy = block(x, Seeded([3]))
    gone = (noisy == 0).all(dim=(2, 3))[0]
    assert 16 < gone.sum() < 48
    torch.testing.assert_close(noisy[0, ~gone], 2 * plain[0, ~gone])
