from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from spt_dist.train.start import load_networks, save_networks
from spt_dist.train.state import build_networks


def test_a_network_starts_as_the_other_run_left_it(tiny_config, tmp_path):
    one, other = (build_networks(tiny_config.networks, seed) for seed in (1, 2))
    save_networks(tmp_path, one)
    load_networks(other, {"semantic": str(tmp_path)})
    for name, weight in one["semantic"].state_dict().items():
        assert_close(other["semantic"].state_dict()[name], weight)
    untouched = build_networks(tiny_config.networks, 2)["appearance"].state_dict()
    assert all(torch.equal(other["appearance"].state_dict()[name], weight) for name, weight in untouched.items())


def test_what_cannot_be_taken_over_is_said(tiny_config, tmp_path):
    networks = build_networks(tiny_config.networks, 0)
    with pytest.raises(ValueError, match=r"`generator`; a run trains pose_detector"):
        load_networks(networks, {"generator": str(tmp_path)})
    with pytest.raises(ValueError, match=r"cannot read .*semantic.safetensors"):
        load_networks(networks, {"semantic": str(tmp_path)})
    save_networks(tmp_path, networks)
    narrower = replace(tiny_config.networks, semantic=replace(tiny_config.networks.semantic, widths=(4, 6, 10)))
    with pytest.raises(ValueError, match=r"another shape than this run's"):
        load_networks(build_networks(narrower, 0), {"semantic": str(tmp_path)})
