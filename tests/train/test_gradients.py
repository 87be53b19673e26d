"""Where the image losses' gradients go: to the network in training, and end to end through the soft map to H_S."""

import pytest
import torch
from papers import (
    APPEARANCE,
    END_TO_END,
    PAPER,
    SETTINGS,
    assert_same_gradients,
    cycle,
    only,
    paper_terms,
    turn_of,
)
from torch.testing import assert_close

from spt_dist.train import phases
from spt_dist.train.phases import Turn, train_phase
from spt_dist.train.state import build_networks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


@pytest.mark.parametrize("name", PAPER)
def test_every_image_loss_alone_reaches_the_semantic_generator(engines, name):
    turn = turn_of(only(name))
    train_phase(END_TO_END, engines, [turn], 0.0)
    assert max(value.abs().max() for value in engines["semantic"].gradients.values()) > 1e-7
    expected = paper_terms(turn, engines, *cycle(turn, engines))[name]
    assert_same_gradients(engines["semantic"], expected)


def doubled(tree):
    """The tensors of nested named tuples in float64; label maps stay bytes."""
    if isinstance(tree, torch.Tensor):
        return tree.double() if tree.is_floating_point() else tree
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(doubled(each) for each in tree))
    return tree


def exact_image_objective():
    """The weighted image terms as a function of H_S in float64, everything else frozen; and H_S."""
    networks = {name: network.double() for name, network in build_networks(SETTINGS.networks, 0).items()}
    for name, network in networks.items():
        network.requires_grad_(name == "semantic")
    turn = turn_of()
    exact = Turn(doubled(turn.scene), SETTINGS, turn.features.double())

    def objective(semantic):
        exact.networks = networks | {"semantic": semantic}
        weights = vars(SETTINGS.losses)
        return torch.stack([weights[name] * term for name, term in phases.image_terms(exact).items()]).sum()

    return objective, networks["semantic"]


def test_the_image_losses_move_the_semantic_generator_as_finite_differences_say():
    objective, semantic = exact_image_objective()
    parameters = list(semantic.parameters())
    gradients = torch.autograd.grad(objective(semantic), parameters)
    assert all(gradient.abs().max() > 0 for gradient in gradients)  # every layer is reached
    random = torch.Generator().manual_seed(0)
    for _ in range(3):
        directions = [torch.randn(p.shape, generator=random, dtype=torch.float64) for p in parameters]
        predicted = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
        either_side = []
        for step in (1e-7, -1e-7):
            with torch.no_grad():
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter += step * direction
                either_side.append(objective(semantic))
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter -= step * direction
        assert_close((either_side[0] - either_side[1]) / 2e-7, predicted, rtol=1e-5, atol=0)


def test_the_soft_parsing_is_the_only_way_to_the_semantic_generator():
    objective, semantic = exact_image_objective()
    assert objective(semantic).requires_grad
    assert not objective(lambda *inputs: semantic(*inputs).detach()).requires_grad


def test_end_to_end_no_gradient_reaches_a_frozen_network(engines):
    turn = turn_of()
    train_phase(END_TO_END, engines, [turn], 0.0)
    for name, engine in engines.items():
        assert bool(engine.gradients) == (name == "semantic"), name
        assert all(p.grad is None for p in engine.module.parameters()), name
    scene = turn.scene
    seen = [scene.source.image, scene.source.maps, scene.target.maps, scene.there.transforms, turn.features.weight0]
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in seen)


def test_the_appearance_phase_gives_the_semantic_generator_no_gradient(engines):
    train_phase(APPEARANCE, engines, [turn_of()], 0.0)
    for name, engine in engines.items():
        assert bool(engine.gradients) == (name == "appearance")
        assert all(p.grad is None for p in engine.module.parameters()), name
