"""bfloat16 in the networks: float32 everywhere else, nearly the same numbers, the same guarantees."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from spt_dist import config
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.weights import load_weights
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.precision import in_precision
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import build_networks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")
FIRST_TERMS, LATER_TERMS = 0.02, 0.1  # of a term, before the networks have moved and after a few steps


def with_precision(settings, precision, **train):
    networks = replace(settings.networks, appearance=replace(settings.networks.appearance, dropout=0.0))
    return replace(settings, networks=networks, train=replace(settings.train, precision=precision, **train))


def trainer(settings, run, resume=False):
    prepare_run(settings, run, resume=resume, ranks=1, engine="PlainEngine")
    made = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    assert made.resume() == resume
    return made


def trace(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["all_images"], line["terms"]) for line in lines]


def watch_convolutions(network: nn.Module) -> list[torch.dtype]:
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    return seen


@pytest.mark.parametrize(("precision", "inside"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_computes_in_bfloat16_and_gives_float32(tiny_config, precision, inside):
    detector = build_networks(tiny_config.networks, 0)["pose_detector"]
    seen = watch_convolutions(detector)
    engine = PlainEngine(detector, config.Train(precision=precision))
    drawn = engine(torch.rand(2, 3, 32, 16))
    assert set(seen) == {inside}
    assert drawn.dtype == torch.float32
    engine.backward(drawn.square().mean())
    assert {p.dtype for p in detector.parameters()} == {p.grad.dtype for p in detector.parameters()} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_frozen_features_compute_in_bfloat16_and_pass_the_gradient():
    features = PerceptualFeatures(config.PerceptualFeatures(normalise=True))
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    exact, near = features(image), in_precision(features, "bf16")(image)
    assert near.dtype == torch.float32
    assert 0 < (near - exact).abs().max() < 0.02 * exact.abs().max()
    (wanted,), (found,) = (torch.autograd.grad(f.square().mean(), image) for f in (exact, near))
    assert torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.995


def test_terms_stay_near_those_of_float32(tiny_config, tmp_path):
    """The first step of every stage within 2 %, the second, which Adam has moved in between, within 10 %."""
    traces = {}
    for precision in ("fp32", "bf16"):
        made = trainer(with_precision(tiny_config, precision), tmp_path / precision)
        made.train()
        traces[precision] = trace(tmp_path / precision)
    (images, first), (_, second) = traces["fp32"][0], traces["bf16"][0]
    assert images == 4
    assert first != second  # it is another arithmetic
    met = set()
    for (_, exact), (_, near) in zip(traces["fp32"], traces["bf16"], strict=True):
        for name, value in exact.items():
            tolerance = LATER_TERMS if name in met else FIRST_TERMS
            assert near[name] == pytest.approx(value, rel=tolerance, abs=1e-3), name
        met |= exact.keys()
    assert len(met) > 10


def test_a_run_in_bfloat16_learns(tiny_config, tmp_path):
    stages = config.Stages(
        pose=config.Stage(images=80, learning_rate=2e-3), semantic=config.Stage(images=120, learning_rate=2e-3)
    )
    settings = replace(with_precision(tiny_config, "bf16", report_every_imgs=20), stages=stages)
    trainer(settings, tmp_path / "run").train()
    for name in ("pose_detector/heatmaps", "semantic/parsing"):
        values = [terms[name] for _, terms in trace(tmp_path / "run") if name in terms]
        assert values[-1] < 0.7 * values[0], (name, values)


def test_resume_in_bfloat16_is_bit_equal_and_weights_are_float32(tiny_config, tmp_path):
    settings = with_precision(tiny_config, "bf16", checkpoint_every_imgs=4, keep_checkpoints=100)
    whole = trainer(settings, tmp_path / "whole")
    whole.train()
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    for path in (tmp_path / "broken" / "checkpoints").iterdir():
        if int(path.name) > 20:
            shutil.rmtree(path)
    resumed = trainer(settings, tmp_path / "broken", resume=True)
    resumed.train()
    assert trace(tmp_path / "broken") == trace(tmp_path / "whole")
    assert not any("network." in name for name in whole.state.engines["semantic"].module.state_dict())
    for name, module in load_weights(tmp_path / "whole" / "weights")[0].items():
        other = load_weights(tmp_path / "broken" / "weights")[0][name]
        seen = watch_convolutions(module)
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert not seen
    with pytest.raises(ValueError, match=r"`train\.precision` was 'bf16' and is 'fp32'"):
        trainer(with_precision(settings, "fp32"), tmp_path / "broken", resume=True)
