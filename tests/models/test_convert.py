"""A published checkpoint, made up from its published names, becomes one of our weights folders."""

import json
import logging
from pathlib import Path

import pytest
import torch

from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.convert import (
    CONVERTERS,
    convert,
    convert_discriminator,
    convert_generator,
    convert_pose_detector,
    read_checkpoint,
)
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.weights import load_weights

pytestmark = pytest.mark.golden
NARROWER = 16  # divides the published widths, so that the tests are quick; inputs and outputs keep theirs
KEPT = {1, 3, 4, 7, 12, 18, 27, 30}


@pytest.fixture(scope="module")
def states(golden: Path) -> dict[str, dict[str, torch.Tensor]]:
    parameters = json.loads((golden / "networks.json").read_text())["parameters"]
    torch.manual_seed(0)
    return {
        kind: {name: torch.randn([n if n in KEPT else n // NARROWER for n in shape]) for name, shape in named}
        for kind, named in parameters.items()
    }


def test_every_published_name_lands_in_its_own_parameter(states) -> None:
    for kind, network, without_effect in (
        ("generator", AppearanceGenerator, 0),
        ("discriminator", PatchDiscriminator, 3),
        ("pose_detector", PoseDetector, 23),
    ):
        module = CONVERTERS[kind](states[kind]).module
        assert isinstance(module, network)
        published = sorted(float(value.sum()) for value in states[kind].values())
        ours = [float(value.sum()) for value in module.state_dict().values()]
        assert len(ours) + without_effect == len(published)
        assert set(ours) <= set(published)


def test_the_generator_keeps_the_widths_of_the_checkpoint(states) -> None:
    appearance = convert_generator(states["generator"]).networks.appearance
    assert appearance.widths == (4, 8, 16, 32, 32, 32)
    assert appearance.local_enhancer
    assert convert_discriminator(states["discriminator"]).networks.discriminator.widths == (4, 8, 16, 32)
    detector = convert_pose_detector(states["pose_detector"]).networks.pose_detector
    assert (detector.width, detector.blocks) == (4, 9)


def test_a_checkpoint_becomes_a_weights_folder(states, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = dict(states["generator"])
    state["model_global.decoder.net.0.net.3.running_mean"] = torch.zeros(1)
    torch.save(state, tmp_path / "latest_net_G.pth")
    with caplog.at_level(logging.WARNING):
        convert(tmp_path / "latest_net_G.pth", "generator", tmp_path / "out")
    assert "left out 1 running statistics" in caplog.text
    modules, card = load_weights(tmp_path / "out")
    assert card["converted_from"]["file"] == "latest_net_G.pth"
    assert list(modules) == ["appearance"]
    loaded = modules["appearance"].state_dict()
    assert torch.equal(loaded["global_net.head.weight"], state["model_global.decoder.net.6.weight"])
    assert torch.equal(loaded["local_net.up.norm.bias"], state["model_local_decoder.net.0.net.3.bias"])


@pytest.mark.parametrize("kind", ["discriminator", "pose_detector"])
def test_the_judges_convert_and_say_what_they_leave_out(
    states, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(states[kind], tmp_path / "net.pth")
    with caplog.at_level(logging.WARNING):
        convert(tmp_path / "net.pth", kind, tmp_path / "out")
    assert "biases in front of an instance norm" in caplog.text
    modules, _ = load_weights(tmp_path / "out")
    assert list(modules) == [kind]


def test_missing_and_unexpected_names_are_listed(states) -> None:
    state = dict(states["generator"])
    state["surplus.weight"] = state.pop("model_local_decoder.net.2.bias")
    expected = r"missing \['model_local_decoder.net.2.bias'\], unexpected \['surplus.weight'\]"
    with pytest.raises(ValueError, match=expected):
        convert_generator(state)


def test_shapes_that_do_not_belong_together_are_refused(states) -> None:
    state = dict(states["generator"])
    state["model_global.decoder.net.6.weight"] = torch.zeros(3, 5, 3, 3)
    with pytest.raises(ValueError, match=r"global_net\.head\.weight"):
        convert_generator(state)


@pytest.mark.parametrize("kind", list(CONVERTERS))
def test_another_network_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="it is not a"):
        CONVERTERS[kind]({"weight": torch.zeros(3)})


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read the checkpoint `nowhere\.pth`"):
        read_checkpoint("nowhere.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        read_checkpoint(tmp_path / "text.pth")
    torch.save({"model": PoseDetector}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        read_checkpoint(tmp_path / "code.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not hold tensors by name"):
        read_checkpoint(tmp_path / "other.pth")
    with pytest.raises(ValueError, match="kinds are generator, discriminator, pose_detector"):
        convert(tmp_path / "other.pth", "face", tmp_path)
