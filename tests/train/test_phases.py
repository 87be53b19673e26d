"""The phases against the paper's formulas."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from papers import (
    APPEARANCE,
    BATCH,
    PAPER,
    SETTINGS,
    SIZE,
    RecordingEngine,
    assert_same_gradients,
    cycle,
    engines_of,
    face,
    only,
    paper_terms,
    people,
    turn_of,
)
from torch.testing import assert_close

from spt_dist import config
from spt_dist.body import TORSO_JOINTS
from spt_dist.data.schema import Pairs
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.inputs import parsing_to_read
from spt_dist.train import phases
from spt_dist.train.phases import STAGES, Drawing, Phase, Turn, phases_of, train_phase
from spt_dist.train.scene import build_scene
from spt_dist.train.state import build_networks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


def test_the_appearance_objective_is_the_papers(engines):
    turn = turn_of()
    found = train_phase(APPEARANCE, engines, [turn], 0.0)
    drawn = cycle(turn, engines)
    expected = paper_terms(turn, engines, *drawn)
    assert set(found) == {f"appearance/{name}" for name in expected}  # and none of our own
    for name, value in expected.items():
        assert value > 0
        assert_close(found[f"appearance/{name}"] * PAPER[name], value.detach(), rtol=1e-4, atol=0)
    total = torch.stack(list(expected.values())).sum()
    assert engines["appearance"].losses == [pytest.approx(total.item(), rel=1e-4)]
    assert_same_gradients(engines["appearance"], total)


@pytest.mark.parametrize("name", PAPER)
def test_each_term_of_the_appearance_objective_has_the_papers_gradient(engines, name):
    turn = turn_of(only(name))
    train_phase(APPEARANCE, engines, [turn], 0.0)
    expected = paper_terms(turn, engines, *cycle(turn, engines))[name]
    assert engines["appearance"].losses == [pytest.approx(expected.item(), rel=1e-4)]
    assert_same_gradients(engines["appearance"], expected)


def test_the_discriminators_learn_halves_of_real_and_fake(engines):
    turn = turn_of()
    with torch.no_grad():
        parsing_b, fake_b, fake_a = cycle(turn, engines)
    for phase in STAGES["end_to_end"]:
        train_phase(phase, engines, [turn], 0.0)
    scene = turn.scene
    a, b, pseudo = scene.source, scene.target, scene.pseudo.view
    made = engines["semantic"].module(a.maps, pseudo.heatmaps, scene.pseudo.warps).softmax(1).detach()
    seen = {
        "image_discriminator": (
            [torch.cat([each.image, each.parsing[:, 1:]], 1) for each in (a, b)],
            [torch.cat([fake_b, parsing_b[:, 1:]], 1), torch.cat([fake_a, a.parsing[:, 1:]], 1)],
        ),
        "face_discriminator": (
            [face(a.image, a.joints), face(b.image, b.joints)],
            [face(fake_b, b.joints), face(fake_a, a.joints)],
        ),
        "parsing_discriminator": (
            [torch.cat([pseudo.parsing, pseudo.heatmaps], 1)],
            [torch.cat([made, pseudo.heatmaps], 1)],
        ),
    }
    for name, (real, fake) in seen.items():
        judge = engines[name].module
        real_loss = torch.stack([(judge(each) - 1).pow(2).mean() for each in real]).mean()
        fake_loss = torch.stack([judge(each).pow(2).mean() for each in fake]).mean()
        total = 0.5 * real_loss + 0.5 * fake_loss
        assert engines[name].losses == [pytest.approx(total.item(), rel=1e-5)], name
        assert_same_gradients(engines[name], total)


def test_the_semantic_objective_is_cross_entropy_and_one_adversarial_term(engines):
    turn = turn_of()
    train_phase(Phase("semantic", phases.semantic_terms), engines, [turn], 0.0)
    a, pseudo = turn.scene.source, turn.scene.pseudo
    logits = engines["semantic"].module(a.maps, pseudo.view.heatmaps, pseudo.warps)
    judged = torch.cat([logits.softmax(1), pseudo.view.heatmaps], 1)
    adversarial = (engines["parsing_discriminator"].module(judged) - 1).pow(2).mean()
    total = -(logits.log_softmax(1) * pseudo.view.parsing).sum(1).mean() + adversarial
    assert engines["semantic"].losses == [pytest.approx(total.item(), rel=1e-5)]
    assert_same_gradients(engines["semantic"], total)


def test_pictures_are_painted_into_a_smooth_parsing_and_the_semantic_objective_stays(engines):
    appearance = replace(SETTINGS.networks.appearance, smooth_parsing=True)
    turn = turn_of(replace(SETTINGS, networks=replace(SETTINGS.networks, appearance=appearance)))
    turn.networks = {name: engine.module for name, engine in engines.items()}
    scene = turn.scene
    logits = turn.networks["semantic"](scene.source.maps, scene.target.heatmaps, scene.there)
    assert_close(Drawing(turn).parsing_b, parsing_to_read(logits, smooth=True))
    rough = turn_of()
    rough.networks = turn.networks
    assert phases.semantic_terms(turn) == phases.semantic_terms(rough)


def test_in_the_own_pose_both_pictures_are_one_drawing(engines):
    turn = turn_of(own_pose=True)
    turn.networks = {name: engine.module for name, engine in engines.items()}
    drawing = Drawing(turn)
    assert drawing.fake_a is drawing.fake_b
    a = turn.scene.source
    drawn = engines["appearance"].module(a.image, a.parsing, a.heatmaps, a.parsing, a.heatmaps, turn.scene.there)
    assert_close(drawing.fake_b, drawn)
    train_phase(APPEARANCE, engines, [turn], 0.0)
    assert engines["appearance"].calls == 1
    terms = paper_terms(turn, engines, a.parsing, drawn, drawn)
    total = torch.stack(list(terms.values())).sum()
    assert engines["appearance"].losses == [pytest.approx(total.item(), rel=1e-4)]
    assert_same_gradients(engines["appearance"], total)


def hide(batch, person, joints):
    places = batch.joints.clone()
    places[person, joints] = torch.tensor([-1.0, -1.0, 0.0])
    return batch._replace(joints=places)


@pytest.mark.parametrize("own_pose", [False, True])
@pytest.mark.parametrize("size", [(32, 16), (16, 48)])
@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_people_with_few_joints_train_every_network(side, size, own_pose):
    def scarce(batch):
        return hide(hide(batch, 0, list(TORSO_JOINTS)), 1, list(range(18)))

    people_by_side = {"source": people(size, 1), "target": people(size, 2)}
    for name in people_by_side if side == "both" else [side]:
        people_by_side[name] = scarce(people_by_side[name])
    empty = people_by_side["source"]
    empty.labels[1] = 0  # who has no joint has no map either
    ours = config.LossWeights(region_colour=1.0, reconstruction=1.0)
    settings = replace(SETTINGS, data=replace(SETTINGS.data, image_size=size), losses=ours)
    engines, turn = engines_of(settings), turn_of(settings, own_pose, **people_by_side)
    for stage in STAGES:
        for phase in phases_of(stage, ours):
            terms = train_phase(phase, engines, [turn], 0.0)
            bad = [name for name, term in terms.items() if not term.isfinite()]
            assert not bad, f"{stage}: {bad}"
            gradients = engines[phase.network].gradients.values()
            assert len(gradients) == len(list(engines[phase.network].module.parameters()))
            assert all(value.isfinite().all() for value in gradients), f"{stage}: {phase.network}"


def test_a_term_without_a_weight_is_an_error(engines):
    nameless = Phase("appearance", lambda turn: {"beauty": torch.zeros(())})
    with pytest.raises((KeyError, ValueError), match="beauty"):
        train_phase(nameless, engines, [turn_of()], 0.0)


def test_with_true_targets_what_is_drawn_is_compared_with_the_truth(engines):
    settings = replace(SETTINGS, data=replace(SETTINGS.data, true_targets=True))
    scene = build_scene(Pairs(people(seed=1), people(seed=2)), settings, None, own_pose=False)
    turn = Turn(scene, settings, PerceptualFeatures(settings.networks.features))
    assert scene.truth is scene.target
    assert scene.pseudo is not None
    assert scene.pseudo.view is scene.target
    train_phase(APPEARANCE, engines, [turn], 0.0)
    assert engines["appearance"].calls == 1  # there, and not back
    a, b = scene.source, scene.target
    parsing_b = engines["semantic"].module(a.maps, b.heatmaps, scene.there).softmax(1)
    drawn = engines["appearance"].module(a.image, a.parsing, a.heatmaps, parsing_b, b.heatmaps, scene.there)
    as_if_source = Turn(scene._replace(source=b), settings, turn.features)
    total = torch.stack(list(paper_terms(as_if_source, engines, parsing_b, drawn, drawn).values())).sum()
    assert engines["appearance"].losses == [pytest.approx(total.item(), rel=1e-4)]
    assert_same_gradients(engines["appearance"], total)


def test_the_baseline_without_parsing_sees_no_map():
    networks = replace(
        SETTINGS.networks,
        appearance=replace(SETTINGS.networks.appearance, reads_parsing=False),
        features=replace(SETTINGS.networks.features, style="patch"),
    )
    settings = replace(SETTINGS, networks=networks)
    engines, turn = engines_of(settings), turn_of(settings)
    for phase in phases_of("appearance", settings.losses):
        assert all(term.isfinite() for term in train_phase(phase, engines, [turn], 0.0).values())
    assert not engines["semantic"].gradients
    a, b = turn.scene.source, turn.scene.target
    draw = engines["appearance"].module.eval()
    maps = [torch.rand(BATCH, 10, *SIZE) for _ in range(2)]
    drawn = [draw(a.image, each, a.heatmaps, each, b.heatmaps, turn.scene.there) for each in maps]
    assert torch.equal(*drawn)


def test_a_hard_map_is_judged_with_the_soft_ones_gradient(engines):
    networks = replace(SETTINGS.networks, discriminator=replace(SETTINGS.networks.discriminator, maps="hard"))
    turn = turn_of(replace(SETTINGS, networks=networks))
    turn.networks = {name: engine.module for name, engine in engines.items()}
    drawing = Drawing(turn)
    judged = drawing.images_with_parsing[:BATCH, 3:]
    assert_close(judged, F.one_hot(drawing.parsing_b.argmax(1), 10).permute(0, 3, 1, 2)[:, 1:].float())
    soft, weights = drawing.parsing_b, torch.rand_like(judged)
    (gradient,) = torch.autograd.grad((judged * weights).sum(), soft)
    assert_close(gradient[:, 1:], weights)
    assert not gradient[:, 0].any()


def test_averages_stand_in_for_what_the_stage_does_not_train(engines):
    other = build_networks(SETTINGS.networks, 5)["semantic"].eval().requires_grad_(False)
    turn = turn_of()
    train_phase(APPEARANCE, engines, [turn], 0.0, {"semantic": other})
    with_other = {**engines, "semantic": RecordingEngine(other)}
    total = torch.stack(list(paper_terms(turn, with_other, *cycle(turn, with_other)).values())).sum()
    assert engines["appearance"].losses == [pytest.approx(total.item(), rel=1e-4)]
