import json
import os
import stat
from pathlib import Path

import pytest
import torch

from spt_dist import config
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import load_weights, save_weights, write_tensors

RUN = config.from_tree(
    {
        "networks": {
            "semantic": {"widths": [4, 6, 8], "warped_input": True},
            "appearance": {"widths": [4, 6, 8, 8], "flat_colour_input": True},
        }
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    modules = {
        "semantic": SemanticGenerator(RUN.networks.semantic),
        "appearance": AppearanceGenerator(RUN.networks.appearance),
    }
    save_weights(tmp_path / "weights", modules, {"config": config.to_tree(RUN), "data_hash": "abc"})
    return tmp_path / "weights"


def test_networks_come_back_as_they_were(folder: Path) -> None:
    torch.manual_seed(0)
    written = {
        "semantic": SemanticGenerator(RUN.networks.semantic),
        "appearance": AppearanceGenerator(RUN.networks.appearance),
    }
    modules, card = load_weights(folder)
    assert card["data_hash"] == "abc"
    assert config.from_tree(card["config"]) == RUN
    assert list(modules) == list(written)
    for name, module in modules.items():
        assert not module.training
        state = module.state_dict()
        assert all(torch.equal(state[key], value) for key, value in written[name].state_dict().items())


def test_a_second_save_replaces_the_first(folder: Path) -> None:
    torch.manual_seed(1)
    network = SemanticGenerator(RUN.networks.semantic)
    save_weights(folder, {"semantic": network}, {"config": config.to_tree(RUN)})
    modules, _ = load_weights(folder)
    assert list(modules) == ["semantic"]
    assert torch.equal(modules["semantic"].state_dict()["unet.head.weight"], network.unet.head.weight)


def test_whoever_the_umask_allows_may_read_the_weights(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        for mask in (0o022, 0o027, 0o077):
            os.umask(mask)
            write_tensors({"x": torch.zeros(1)}, tmp_path / f"{mask}.safetensors")
            assert stat.S_IMODE((tmp_path / f"{mask}.safetensors").stat().st_mode) == 0o666 & ~mask
    finally:
        os.umask(before)


def test_what_cannot_be_rebuilt_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot save \['head'\]: weights are named semantic, appearance"):
        save_weights(tmp_path, {"head": torch.nn.Linear(1, 1)}, {"config": {}})
    with pytest.raises(ValueError, match='the card has no "config"'):
        save_weights(tmp_path, {}, {})


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*card.json.*give the `weights` folder of a run"):
        load_weights(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        load_weights(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ValueError, match=r"lacks \['config', 'weights'\]"):
        load_weights(tmp_path)


def test_missing_damaged_and_foreign_weights_are_named(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["config"]["networks"]["appearance"]["widths"] = [4, 6, 8, 10]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"appearance.safetensors` does not fit the configuration"):
        load_weights(folder)
    (folder / "appearance.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"cannot read .*appearance.safetensors"):
        load_weights(folder)
    (folder / "semantic.safetensors").unlink()
    with pytest.raises(ValueError, match=r"cannot read .*semantic.safetensors"):
        load_weights(folder)
    (folder / "card.json").write_text(json.dumps(card | {"weights": ["critic"]}))
    with pytest.raises(ValueError, match="lists `critic`; this version knows semantic"):
        load_weights(folder)
