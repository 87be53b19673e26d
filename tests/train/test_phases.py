"""The phases against the paper's formulas, written out in plain torch with the paper's own weights."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from spt_dist import config
from spt_dist.body import HEAD_JOINTS, TORSO_JOINTS
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.schema import Batch, Pairs
from spt_dist.geometry import face_transforms
from spt_dist.models.features import PerceptualFeatures
from spt_dist.train import phases
from spt_dist.train.phases import STAGES, Drawing, Phase, Turn, phases_of, train_phase
from spt_dist.train.scene import build_scene
from spt_dist.train.state import build_networks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")
SIZE, BATCH = (32, 16), 2
APPEARANCE = Phase("appearance", phases.image_terms)
END_TO_END = Phase("semantic", phases.end_to_end_terms)
PAPER = {"adversarial": 1, "face": 1, "pose": 700, "content": 0.03, "style": 1}
SETTINGS = config.Config(
    data=config.Data(image_size=SIZE, heatmap_sigma_px=2.0, batch=BATCH),
    networks=config.Networks(
        semantic=config.Semantic(widths=(4, 6, 8)),
        appearance=config.Appearance(widths=(4, 6, 8), warped_levels=2, dropout=0.0),
        discriminator=config.Discriminator(widths=(4, 8)),
        pose_detector=config.PoseDetector(width=4, blocks=1),
    ),
)


class RecordingEngine:
    """Keeps what it is asked to minimise and the gradients of it; never moves the network."""

    def __init__(self, module):
        self.module, self.calls, self.losses, self.gradients = module, 0, [], {}

    def __call__(self, *inputs):
        self.calls += 1
        return self.module(*inputs)

    def backward(self, loss):
        self.losses.append(loss.item())
        loss.backward()

    def step(self, learning_rate):
        self.gradients = {name: p.grad.clone() for name, p in self.module.named_parameters() if p.grad is not None}
        self.module.zero_grad(set_to_none=True)

    def save(self, folder): ...

    def load(self, folder): ...


class Upside(PseudoPairs):
    """Stands in for the search: the map turned upside down is a pseudo label like any other."""

    def __init__(self):
        pass

    def match(self, source, target_joints):
        return source.labels.flip(1), target_joints


def people(size=SIZE, seed=0):
    """Random pictures with blocky maps; the head is where a box fits, so that faces are not black."""
    random = torch.Generator().manual_seed(seed)
    height, width = size
    images = torch.randint(0, 256, (BATCH, height, width, 3), generator=random, dtype=torch.uint8)
    coarse = torch.randint(0, 10, (BATCH, 1, height // 4, width // 4), generator=random).float()
    labels = F.interpolate(coarse, size=size, mode="nearest")[:, 0].to(torch.uint8)
    places = torch.rand(BATCH, 18, 2, generator=random) * torch.tensor([width - 1.0, height - 1.0])
    near = torch.rand(BATCH, len(HEAD_JOINTS), 2, generator=random)
    places[:, list(HEAD_JOINTS)] = torch.tensor([width / 2, height / 3]) + 1.5 * near
    return Batch([str(i) for i in range(BATCH)], images, labels, torch.cat([places, torch.ones(BATCH, 18, 1)], 2))


def turn_of(settings=SETTINGS, own_pose=False, source=None, target=None):
    pairs = Pairs(source or people(seed=1), target or people(seed=2))
    scene = build_scene(pairs, settings, Upside(), own_pose)
    return Turn(scene, settings, PerceptualFeatures(settings.networks.features))


def engines_of(settings=SETTINGS):
    return {name: RecordingEngine(network) for name, network in build_networks(settings.networks, 0).items()}


@pytest.fixture
def engines():
    return engines_of()


def cycle(turn, engines):
    """S_B, B^ and A^: A -> B^ -> A^, by the networks themselves."""
    scene, draw = turn.scene, engines["appearance"].module
    a, b = scene.source, scene.target
    parsing_b = engines["semantic"].module(a.maps, b.heatmaps, scene.there).softmax(1)
    fake_b = draw(a.image, a.parsing, a.heatmaps, parsing_b, b.heatmaps, scene.there)
    fake_a = draw(fake_b, parsing_b, b.heatmaps, a.parsing, a.heatmaps, scene.back)
    return parsing_b, fake_b, fake_a


def face(image, joints):
    """The head's box [left, right) x [top, bottom) over the whole picture, sampled as in the published code."""
    height, width = image.shape[2:]
    scale_x, left = face_transforms(joints, (height, width))[:, 0, 0, [0, 2]].unbind(1)
    scale_y, top = face_transforms(joints, (height, width))[:, 0, 1, [1, 2]].unbind(1)
    zero = torch.zeros_like(left)
    row_x = torch.stack([scale_x, zero, 2 * left / width + scale_x - 1], 1)
    row_y = torch.stack([zero, scale_y, 2 * top / height + scale_y - 1], 1)
    where = F.affine_grid(torch.stack([row_x, row_y], 1), list(image.shape), align_corners=True)
    return F.grid_sample(image, where, mode="bilinear", padding_mode="zeros", align_corners=True)


def gram(features, mask):
    """[b, r, c, c] of every region's features, over h w."""
    masked = features[:, None] * mask[:, :, None]
    return torch.einsum("brchw,brdhw->brcd", masked, masked) / (mask.shape[2] * mask.shape[3])


def paper_terms(turn, engines, parsing_b, fake_b, fake_a):
    """Every term of the paper by name, weighted as in the paper."""
    a, b = turn.scene.source, turn.scene.target
    judge_image, judge_face = engines["image_discriminator"].module, engines["face_discriminator"].module
    detect, features = engines["pose_detector"].module, turn.features
    with_parsing_b = torch.cat([fake_b, parsing_b[:, 1:]], 1)  # 12 channels
    with_parsing_a = torch.cat([fake_a, a.parsing[:, 1:]], 1)
    f_a, f_fake_b, f_fake_a = features(a.image), features(fake_b), features(fake_a)
    mask_a = F.avg_pool2d(a.parsing[:, 2:10], 2)
    mask_b = F.avg_pool2d(F.one_hot(parsing_b.argmax(1), 10).permute(0, 3, 1, 2)[:, 2:10].float(), 2)
    visible = (mask_a.amax((2, 3)) * mask_b.amax((2, 3)))[:, :, None, None]
    gram_a, gram_b, gram_cycle = gram(f_a, mask_a), gram(f_fake_b, mask_b), gram(f_fake_a, mask_a)
    return {
        "adversarial": (judge_image(with_parsing_b) - 1).pow(2).mean()
        + (judge_image(with_parsing_a) - 1).pow(2).mean(),
        "face": (judge_face(face(fake_b, b.joints)) - 1).pow(2).mean()
        + (judge_face(face(fake_a, a.joints)) - 1).pow(2).mean(),
        "pose": 700 * (detect(fake_a) - a.heatmaps).pow(2).mean() + 700 * (detect(fake_b) - b.heatmaps).pow(2).mean(),
        "content": 0.03 * (f_fake_a - f_a).pow(2).mean(),
        "style": (visible * gram_b - visible * gram_a).pow(2).mean()
        + (visible * gram_cycle - visible * gram_b).pow(2).mean(),
    }


def assert_same_gradients(engine, total):
    """The gradients that the engine recorded are those of `total`."""
    names, parameters = zip(*engine.module.named_parameters(), strict=True)
    found, expected = engine.gradients, dict(zip(names, torch.autograd.grad(total, parameters), strict=True))
    assert found.keys() == expected.keys()
    scale = max(value.abs().max() for value in expected.values())
    assert scale > 0
    for name, value in expected.items():
        assert_close(found[name] / scale, value / scale, rtol=1e-3, atol=2e-5, msg=lambda text, n=name: f"{n}: {text}")


def only(name):
    """The paper's weight of one term; every other term weighs nothing."""
    paper = vars(config.LossWeights())
    return replace(SETTINGS, losses=config.LossWeights(**(dict.fromkeys(paper, 0.0) | {name: paper[name]})))


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
