"""What sharing costs: the benchmark's own arithmetic, and a whole measurement on a small network."""

from dataclasses import replace

import pytest
from rich.console import Console
from spt_kernels.bench.timing import Times

from spt_dist import bench_ranks, config
from spt_dist.bench_ranks import ALONE, APART, DDP, SAVED, WAYS, Found


def found_of(seconds):
    ways = dict.fromkeys((DDP, *WAYS, ALONE, APART), 1.0) | seconds
    steps = {way: Times(each, each, each) for way, each in ways.items()}
    return Found(steps, dict.fromkeys(steps, 0.0), 0.1, 2.0, batch=8, steps_between_saves=100)


def test_ratios_are_against_the_yardsticks():
    found = found_of({DDP: 2.0, SAVED: 2.5, ALONE: 4.0, APART: 2.0})
    assert found.over_ddp(SAVED) == pytest.approx(0.25)
    assert found.efficiency == pytest.approx(0.8)
    assert found.attainable == pytest.approx(1.0)
    assert found.saving == pytest.approx(2.0 / 250)


def printed(found):
    console = Console(record=True, width=160)
    console.print(bench_ranks.to_table(found))
    return console.export_text()


@pytest.mark.slow
def test_every_way_takes_the_same_steps(tiny_config):
    found = bench_ranks.measure(tiny_config, repeats=1, saves=1)
    assert found.steps.keys() == {DDP, *WAYS, ALONE, APART}
    assert all(times.median > 0 for times in found.steps.values())
    assert found.save_blocks_s > 0
    assert found.steps_between_saves == 2
    assert "ZeRO 2" in printed(found)


def test_a_batch_that_two_ranks_cannot_share_is_refused(tiny_config):
    with pytest.raises(config.ConfigError, match=r"`data\.batch` = 5 does not divide"):
        bench_ranks.measure(replace(tiny_config, data=replace(tiny_config.data, batch=5)), repeats=1, saves=1)


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_aims_are_met():
    """By the shipped demo's networks; wants a machine to itself."""
    found = bench_ranks.measure(config.load("configs/demo.toml"), repeats=40, saves=10)
    print(printed(found))
    for way, most in bench_ranks.AT_MOST_OVER_DDP.items():
        assert found.over_ddp(way) <= most, way
    assert found.saving <= bench_ranks.AT_MOST_FOR_SAVES
