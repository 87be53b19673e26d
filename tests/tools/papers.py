"""SPT's formulas in plain torch with the paper's own weights, and what a phase needs to be compared with them."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from spt_dist import config
from spt_dist.body import HEAD_JOINTS
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.schema import Batch, Pairs
from spt_dist.geometry import face_transforms
from spt_dist.models.features import PerceptualFeatures
from spt_dist.train import phases
from spt_dist.train.phases import Phase, Turn
from spt_dist.train.scene import build_scene
from spt_dist.train.state import build_networks

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

    def whole(self): ...

    def save(self, folder, write): ...

    def load(self, folder, ranks): ...


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
