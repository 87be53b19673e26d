"""H_S and H_A: that they read every input, learn in every parameter, and keep their promises about size and alpha."""

import pytest
import torch
from torch.testing import assert_close

from spt_dist.config import Appearance, Semantic
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.regions import fill_background, flat_fill

WIDTHS = (4, 6, 8, 8)


def appearance(**settings) -> AppearanceGenerator:
    torch.manual_seed(0)
    return AppearanceGenerator(Appearance(widths=WIDTHS, **settings))


def drawn(network: AppearanceGenerator, pair, alpha: float = 1.0, **changed) -> torch.Tensor:
    inputs = {
        "source_image": pair.source.image,
        "source_parsing": pair.source.parsing,
        "source_heatmaps": pair.source.heatmaps,
        "target_parsing": pair.target.parsing,
        "target_heatmaps": pair.target.heatmaps,
        "warps": pair.warps,
    }
    return network(**(inputs | changed), alpha=alpha)


def without_gradient(network: torch.nn.Module) -> list[str]:
    return [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


@pytest.mark.parametrize("warped_input", [False, True])
def test_the_semantic_generator_reads_every_input_and_learns_everywhere(pair, warped_input: bool) -> None:
    torch.manual_seed(0)
    network = SemanticGenerator(Semantic(widths=WIDTHS, warped_input=warped_input))
    inputs = [pair.source.parsing, pair.source.heatmaps, pair.target.heatmaps]

    def draw(parsing, source_heatmaps, target_heatmaps):
        return network(torch.cat([parsing, source_heatmaps], 1), target_heatmaps, pair.warps)

    logits = draw(*inputs)
    assert logits.shape == (2, 10, 64, 48)
    for changed in range(3):
        others = [x.flip(0) if i == changed else x for i, x in enumerate(inputs)]
        assert (draw(*others) - logits).abs().max() > 1e-4
    logits.square().mean().backward()
    assert without_gradient(network) == []


@pytest.mark.parametrize("settings", [{}, {"flat_colour_input": True}, {"local_enhancer": True}])
def test_the_appearance_generator_reads_every_input_and_learns_everywhere(pair, settings: dict[str, bool]) -> None:
    network = appearance(dropout=0.0, **settings)
    soft = pair.target.parsing.clone().requires_grad_()
    picture = drawn(network, pair, alpha=0.5, target_parsing=soft)
    assert picture.shape == (2, 3, 64, 48)
    assert picture.abs().max() < 1
    for name, value in (
        ("source_image", pair.source.image),
        ("source_parsing", pair.source.parsing),
        ("source_heatmaps", pair.source.heatmaps),
        ("target_parsing", pair.target.parsing),
        ("target_heatmaps", pair.target.heatmaps),
    ):
        other = drawn(network, pair, alpha=0.5, **{name: value.flip(0)})
        assert (other - picture).abs().max() > 1e-4, f"{name} is not read"
    picture.square().mean().backward()
    assert without_gradient(network) == []
    assert soft.grad is not None
    assert soft.grad[:, 1:].abs().amax(dim=(0, 2, 3)).min() > 0


@torch.no_grad()
def test_one_encoded_source_serves_many_poses(pair) -> None:
    network = appearance(local_enhancer=True, flat_colour_input=True).eval()
    source = network.encode_source(pair.source.image, pair.source.parsing, pair.source.heatmaps)
    for target in (pair.target, pair.source):
        once = network.decode(source, target.parsing, target.heatmaps, pair.warps)
        whole = drawn(network, pair, target_parsing=target.parsing, target_heatmaps=target.heatmaps)
        assert torch.equal(once, whole)


@torch.no_grad()
def test_the_fade_in_leads_from_the_global_picture_to_the_local_one(pair) -> None:
    network = appearance(local_enhancer=True).eval()
    start, near, end = (drawn(network, pair, alpha=alpha) for alpha in (0.0, 1e-4, 1.0))
    assert_close(near, start, atol=1e-3, rtol=0)
    assert (end - start).abs().max() > 1e-2
    head = network.local_net
    assert head is not None
    head.head.bias.add_(1.0)  # the enhancer's own picture counts at 1 and not at 0
    assert torch.equal(drawn(network, pair, alpha=0.0), start)
    assert (drawn(network, pair, alpha=1.0) - end).abs().max() > 1e-2


@torch.no_grad()
def test_a_person_is_drawn_the_same_alone_and_in_a_batch(pair) -> None:
    network = appearance(local_enhancer=True, flat_colour_input=True).eval()
    source, target = (type(view)(*(tensor[1:] for tensor in view)) for view in pair[:2])
    warps = pair.warps._replace(transforms=pair.warps.transforms[1:], quads=pair.warps.quads[1:])
    alone = type(pair)(source, target, warps)
    assert_close(drawn(network, alone), drawn(network, pair)[1:], atol=1e-5, rtol=1e-5)


def test_sizes_that_do_not_fit_are_refused(pair) -> None:
    deep = (*WIDTHS, 8, 8)
    with pytest.raises(ValueError, match=r"AppearanceGenerator cannot take 64x48 px: .* multiples of 32; use 64x64"):
        drawn(AppearanceGenerator(Appearance(widths=deep)), pair)
    with pytest.raises(ValueError, match=r"AppearanceGenerator cannot take 64x48 px: .* multiples of 32"):
        drawn(AppearanceGenerator(Appearance(widths=deep[:-1], local_enhancer=True)), pair)
    with pytest.raises(ValueError, match=r"SemanticGenerator cannot take 64x48 px: .* multiples of 32"):
        SemanticGenerator(Semantic(widths=deep))(pair.source.maps, pair.target.heatmaps, pair.warps)


@torch.no_grad()
def test_a_head_mixes_the_pictures_that_it_is_told_to(pair) -> None:
    network = appearance(dropout=0.0, blend=("flat", "background"))
    head = network.global_net.head
    head.weight.zero_()
    head.bias.zero_()  # the own picture is grey, and all weigh the same
    flat = flat_fill(pair.source.image, pair.source.parsing, pair.target.parsing)
    background = fill_background(pair.source.image, pair.source.parsing)
    assert_close(drawn(network, pair), (flat + background) / 3)
    head.bias[4] = 50.0
    assert_close(drawn(network, pair), background)
    source = network.encode_source(pair.source.image, pair.source.parsing, pair.source.heatmaps)
    assert_close(network.decode(source, pair.target.parsing, pair.target.heatmaps, pair.warps), background)
