"""A training step of the appearance stage, and one direction of inference: ours and the published way, made equal.

Both ways start from equal weights on the same pair of people and are compared before they are timed (losses, gradients,
pictures): a ratio between things that differ means nothing. H_S was never published, so both ways are given the
target's true parsing map. Published starts from its loader's tensors, ours from bytes and joints: rasterising them is
part of our time and not of the published.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spt_dist import bench_steps_published as published
from spt_dist import config, losses
from spt_dist.body import STYLE_LABELS
from spt_dist.data.schema import Pairs, Sample, collate
from spt_dist.data.synthetic import draw, sample_person, sample_pose
from spt_dist.geometry import PartWarps, part_warps
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.blocks import prepare
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.inputs import Maps, one_hot, view
from spt_dist.train.engine import PlainEngine, frozen_except
from spt_dist.train.phases import Terms, Turn, phases_of, train_phase
from spt_dist.train.scene import build_scene
from spt_dist.train.state import build_networks
from spt_dist.types import Heatmaps, Images, LabelBytes, Parsing

STAGE, RATE = "appearance", 2e-4
CERTAIN = 1e4  # a logit of which the softmax is exactly one
LOSS_TOLERANCE = 1e-3  # of each term
GRADIENT_TOLERANCE = 2e-2  # of each network's gradient, as a vector
PICTURE_TOLERANCE = 1e-3  # on average, of pictures in [-1, 1]


class UnequalError(Exception):
    """The two ways compute different things, so they are not timed."""


class GivenMaps(nn.Module):
    """Stands in for H_S: logits of a parsing map that is known."""

    def __init__(self, labels: LabelBytes) -> None:
        super().__init__()
        self.register_buffer("logits", one_hot(labels) * CERTAIN)

    def forward(self, source_maps: Maps, target_heatmaps: Heatmaps, warps: PartWarps) -> Parsing:
        """The same logits, whatever is asked."""
        return self.get_buffer("logits")


class OurStep:
    """What `train.loop` does of a step of the appearance stage: the scene, then its phases."""

    def __init__(
        self, settings: config.Config, pairs: Pairs, networks: Mapping[str, nn.Module], given: bool = True
    ) -> None:
        self.settings, self.pairs = settings, pairs
        self.engines = {name: PlainEngine(network, settings.train) for name, network in networks.items()}
        if given:
            self.engines["semantic"].module = GivenMaps(pairs.target.labels)
        self.features = PerceptualFeatures(settings.networks.features)

    def __call__(self) -> Terms:
        """One step; the terms of every phase."""
        scene = build_scene(self.pairs, self.settings, None, own_pose=False)
        turn, terms = Turn(scene, self.settings, self.features), {}
        for phase in phases_of(STAGE, self.settings.losses):
            terms |= train_phase(phase, self.engines, [turn], RATE)
        return terms


class PublishedStep:
    """The same step in the published way, from tensors that a loader has made."""

    def __init__(self, settings: config.Config, pairs: Pairs, networks: Mapping[str, nn.Module]) -> None:
        published.check_faithful(settings.networks.appearance)
        self.weights = settings.losses
        self.engines = {name: PlainEngine(network, settings.train) for name, network in networks.items()}
        self.nets = published.Networks.of({name: engine.module for name, engine in self.engines.items()})
        self.features = PerceptualFeatures(settings.networks.features)
        self.loaded = published.load(pairs.source, pairs.target, settings.data.heatmap_sigma_px)

    def __call__(self) -> Terms:
        """One step; the terms of every phase under the names of ours."""
        a, b, there, back = self.loaded
        with frozen_except("appearance", self.engines) as trained:
            fake_b = published.draw(self.nets.appearance, a, b, there, alpha=1.0)
            fake_a = published.draw(self.nets.appearance, b.drawn(fake_b), a, back, alpha=1.0)
            terms = self._image_terms(fake_b, fake_a)
            trained.backward(torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum())
            trained.step(RATE)
        found = {f"appearance/{name}": term.detach() for name, term in terms.items()}
        fakes = fake_b.detach(), fake_a.detach()
        for name in ("image_discriminator", "face_discriminator"):
            found |= {f"{name}/{term}": value for term, value in self._discriminate(name, *fakes).items()}
        return found

    def _image_terms(self, fake_b: Images, fake_a: Images) -> Terms:
        (a, b, *_), nets = self.loaded, self.nets
        drawn = ((fake_b, b), (fake_a, a))
        judged = [losses.lsgan(self._judge("image_discriminator", *one), real=True) for one in drawn]
        faces = [losses.lsgan(self._judge("face_discriminator", *one), real=True) for one in drawn]
        pose = [
            losses.pose(published.detect(nets.pose_detector, image), person.full.heatmaps) for image, person in drawn
        ]
        with torch.no_grad():
            real = published.features(self.features, a.full.image)
        there, back = (published.features(self.features, image) for image in (fake_b, fake_a))
        return {
            "adversarial": torch.stack(judged).sum(),
            "face": torch.stack(faces).sum(),
            "pose": torch.stack(pose).sum(),
            "content": losses.content(back, real),
            "style": published.style(there, real, back, a.labels, b.labels, STYLE_LABELS),
        }

    def _judge(self, name: str, image: Images, person: published.Person) -> Tensor:
        if name == "face_discriminator":
            return published.judge(self.nets.face_discriminator, published.stretch_faces(person, image))
        return published.judge(self.nets.image_discriminator, torch.cat([image, person.full.parsing], dim=1))

    def _discriminate(self, name: str, fake_b: Images, fake_a: Images) -> Terms:
        """One pass for each of two real and two drawn pictures. (Published judges the same real one twice.)"""
        a, b = self.loaded.a, self.loaded.b
        with frozen_except(name, self.engines) as trained:
            real = [losses.lsgan(self._judge(name, one.full.image, one), real=True) / 4 for one in (a, b)]
            fake = [losses.lsgan(self._judge(name, *one), real=False) / 4 for one in ((fake_b, b), (fake_a, a))]
            terms = {"real": torch.stack(real).sum(), "fake": torch.stack(fake).sum()}
            trained.backward(terms["real"] + terms["fake"])
            trained.step(RATE)
        return {term: value.detach() for term, value in terms.items()}


class Steps(NamedTuple):
    """The step in each way, from equal weights on one pair."""

    ours: OurStep
    published: PublishedStep

    @classmethod
    def of(cls, settings: config.Config, pairs: Pairs) -> "Steps":
        """Networks of `settings`, twice."""
        networks = networks_of(settings)
        twins = copy.deepcopy(networks)
        return cls(OurStep(settings, pairs, networks), PublishedStep(settings, pairs, twins))

    def check(self) -> tuple[float, float]:
        """Take one step each; the largest difference of a term and of a gradient, both relative.

        Raises:
            UnequalError: more than `LOSS_TOLERANCE` or `GRADIENT_TOLERANCE`.
        """
        found = []
        for step in self:
            torch.manual_seed(0)  # the same channels are dropped
            found.append(step())
        ours, theirs = found
        terms = {name: _apart(ours[name], theirs[name]) for name in theirs}
        gradients = {name: _apart(*_gradients(self, name)) for name in sorted({term.split("/")[0] for term in theirs})}
        for what, bound in ((terms, LOSS_TOLERANCE), (gradients, GRADIENT_TOLERANCE)):
            if worst := [f"{name} by {off:.1e}" for name, off in what.items() if not off <= bound]:
                raise UnequalError(
                    f"ours and the published way differ in {', '.join(worst)}; at most {bound:g} is rounding"
                )
        return max(terms.values()), max(gradients.values())


def _gradients(steps: Steps, name: str) -> tuple[Tensor, Tensor]:
    """Each way's gradient of one network as a vector, from Adam's first moments after one step.

    Where ours computes none (the coarse head, once alpha is 1) the published one must be zero.
    """
    pairs = []
    for parameters in zip(*(step.engines[name].module.parameters() for step in steps), strict=True):
        moments = [
            step.engines[name].optimizer.state[parameter].get("exp_avg", torch.zeros_like(parameter)).flatten()
            for step, parameter in zip(steps, parameters, strict=True)
        ]
        pairs.append(moments)
    ours, theirs = (torch.cat(side) for side in zip(*pairs, strict=True))
    return ours, theirs


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-30))


def networks_of(settings: config.Config) -> dict[str, nn.Module]:
    """All networks with the weights of the configured seed, but H_S in small: the given map takes its place."""
    small = replace(settings.networks, semantic=config.Semantic(widths=(1, 1)))
    return build_networks(small, settings.train.seed)


def generator_of(settings: config.Config) -> AppearanceGenerator:
    """The appearance generator with the weights of the configured seed."""
    torch.manual_seed(settings.train.seed)
    return AppearanceGenerator(settings.networks.appearance)


class OurInference:
    """Bytes and joints to a picture: what `infer` does, with the target's parsing map given."""

    def __init__(self, settings: config.Config, pairs: Pairs, generator: AppearanceGenerator) -> None:
        self.settings, self.pairs, self.generator = settings, pairs, prepare(copy.deepcopy(generator))

    @torch.inference_mode()
    def __call__(self) -> Images:
        """The source in the target's pose."""
        (_, images, labels, joints), target_batch = self.pairs.source, self.pairs.target
        sigma_px, appearance = self.settings.data.heatmap_sigma_px, self.settings.networks.appearance
        source = view(images, labels, joints, sigma_px)
        target = view(target_batch.images, target_batch.labels, target_batch.joints, sigma_px)
        warps = part_warps(target.joints, source.joints, self.settings.data.image_size, appearance.max_stretch)
        return self.generator(source.image, source.parsing, source.heatmaps, target.parsing, target.heatmaps, warps)


class PublishedInference:
    """Loaded tensors to a picture: one direction; or the published test path, there and back with dropout."""

    def __init__(self, settings: config.Config, pairs: Pairs, generator: AppearanceGenerator) -> None:
        published.check_faithful(settings.networks.appearance)
        self.generator = generator
        self.loaded = published.load(pairs.source, pairs.target, settings.data.heatmap_sigma_px)

    @torch.no_grad()
    def one_direction(self) -> Images:
        """The source in the target's pose, without dropout."""
        self.generator.eval()
        a, b, there, _ = self.loaded
        return published.draw(self.generator, a, b, there, alpha=1.0)

    @torch.no_grad()
    def test_path(self) -> Images:
        """There and back, with dropout."""
        self.generator.train()
        a, b, there, back = self.loaded
        fake_b = published.draw(self.generator, a, b, there, alpha=1.0)
        return published.draw(self.generator, b.drawn(fake_b), a, back, alpha=1.0)


def check_pictures(ours: Images, theirs: Images) -> float:
    """The mean difference of two pictures; `UnequalError` above `PICTURE_TOLERANCE`."""
    apart = float((ours - theirs).abs().mean())
    if not apart <= PICTURE_TOLERANCE:
        raise UnequalError(
            f"ours and the published picture differ by {apart:.1e} on average, over {PICTURE_TOLERANCE:g}"
        )
    return apart


def drawn_pairs(size: tuple[int, int], batch: int = 1, seed: int = 0) -> Pairs:
    """Pairs of drawn people, no two alike."""
    samples = []
    for index in range(2 * batch):
        rng = np.random.default_rng((seed, index))
        samples.append(Sample(str(index), *draw(sample_person(rng), sample_pose(rng), size)))
    return Pairs(collate(samples[:batch]), collate(samples[batch:]))
