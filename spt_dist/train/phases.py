"""The phases of a step: each trains exactly one network.

A stage of the curriculum is a row of phases. A phase forwards through its network's engine, adds up its weighted terms,
goes backward once and steps once; the other networks are frozen and called raw. The discriminators judge what the
generator's phase of the same step has drawn.

    A, the source --H_S, H_A--> B^, in the target's pose --H_A--> A^, back in the source's own

The equations are those of Song et al., CVPR 2019; the terms marked "our own" in `config.LossWeights` are not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spt_dist import config, losses
from spt_dist.body import Joint, Label
from spt_dist.geometry import crop_faces
from spt_dist.models.inputs import one_hot, parsing_to_read, to_labels
from spt_dist.models.noise import Rows, noise_of
from spt_dist.train.engine import Engine, frozen_except
from spt_dist.train.judging import taken_at_once
from spt_dist.train.precision import in_precision
from spt_dist.train.scene import Scene

Terms = dict[str, Tensor]
UNWEIGHTED = {"heatmaps": 1.0, "real": 1.0, "fake": 1.0}  # what the detector and the discriminators learn from


@dataclass
class Turn:
    """What one phase sees of one micro-batch."""

    scene: Scene
    config: config.Config
    features: nn.Module  # frozen relu2_1
    alpha: float = 1.0  # fade-in of the local enhancer
    rows: Rows | None = None  # which of the batch these are, for dropout
    networks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # the trained one's engine, the others raw
    fakes: dict[str, Tensor] = field(default_factory=dict)  # discriminator -> what the generator drew, detached


class Phase(NamedTuple):
    """One network's part of a step."""

    network: str
    terms: Callable[[Turn], Terms]

    @property
    def discriminates(self) -> bool:
        """Whether the stage's second learning rate is this phase's."""
        return self.network.endswith("discriminator")


def train_phase(
    phase: Phase,
    engines: Mapping[str, Engine],
    turns: Sequence[Turn],
    learning_rate: float,
    averages: Mapping[str, nn.Module] = MappingProxyType({}),
) -> Terms:
    """Train the phase's network on a step's micro-batches, `averages` standing in for networks that the stage does not
    train; gives their mean terms, detached.
    """
    collected: dict[str, list[Tensor]] = {}
    with frozen_except(phase.network, engines) as trained:
        raw = {name: engine.module for name, engine in engines.items()} | dict(averages)
        for turn in turns:
            precision = turn.config.train.precision
            frozen = {name: in_precision(network, precision) for name, network in raw.items()}
            turn.networks = {**frozen, phase.network: trained}
            with noise_of(turn.rows, phase.network):
                terms = phase.terms(turn)
            weights = vars(turn.config.losses) | UNWEIGHTED
            trained.backward(torch.stack([weights[name] * term for name, term in terms.items()]).sum())
            trained.step(learning_rate)
            for name, term in terms.items():
                collected.setdefault(f"{phase.network}/{name}", []).append(term.detach())
    return {name: torch.stack(each).mean() for name, each in collected.items()}


def pose_terms(turn: Turn) -> Terms:
    """The pose detector learns the annotated joints' heat maps."""
    source = turn.scene.source
    return {"heatmaps": losses.pose(turn.networks["pose_detector"](source.image), source.heatmaps)}


def annotator_terms(turn: Turn) -> Terms:
    """The annotator learns the labels and the joints' places of a window of a picture."""
    source, annotator = turn.scene.source, turn.config.networks.annotator
    labels, places = turn.networks["annotator"](source.image).split([len(Label), len(Joint)], 1)
    weights = losses.label_weights(annotator.label_weights if annotator else {}).to(labels.device)
    by_label = losses.parsing(labels, source.labels, weights)
    return {"heatmaps": losses.places(places, source.heatmaps), "parsing": by_label}


def semantic_terms(turn: Turn) -> Terms:
    """H_S learns its pseudo label, and to look like a parsing map."""
    source, pseudo = turn.scene.source, turn.scene.pseudo
    assert pseudo is not None, "the semantic stages are given pseudo pairs"
    logits = turn.networks["semantic"](source.maps, pseudo.view.heatmaps, pseudo.warps)
    weights = losses.label_weights(turn.config.networks.semantic.label_weights).to(logits.device)
    terms = {"parsing": losses.parsing(logits, pseudo.view.labels, weights)}
    if turn.config.losses.parsing_adversarial:
        judged = torch.cat([logits.softmax(1), pseudo.view.heatmaps], 1)
        turn.fakes["parsing_discriminator"] = judged.detach()
        terms["parsing_adversarial"] = losses.lsgan(turn.networks["parsing_discriminator"](judged), real=True)
    return terms


class Drawing:
    """The cycle A -> B^ -> A^ of one micro-batch; what several terms need is computed once."""

    def __init__(self, turn: Turn):
        scene, networks = turn.scene, turn.networks
        self.turn, self.scene, source, target = turn, scene, scene.source, scene.target
        if scene.own_pose:
            self.parsing_b = source.parsing
        else:
            logits = networks["semantic"](source.maps, target.heatmaps, scene.there)
            self.parsing_b = parsing_to_read(logits, turn.config.networks.appearance.smooth_parsing)
        draw = networks["appearance"]
        self.fake_b: Tensor = draw(
            source.image, source.parsing, source.heatmaps, self.parsing_b, target.heatmaps, scene.there, turn.alpha
        )
        self.fake_a: Tensor = self.fake_b  # where the truth is known, nothing need come back
        self.reference = scene.truth or source  # what A^ is compared with
        if scene.truth is None:
            self.fake_a = draw(
                self.fake_b, self.parsing_b, target.heatmaps, source.parsing, source.heatmaps, scene.back, turn.alpha
            )
        self.fakes = torch.cat([self.fake_b, self.fake_a])

    @cached_property
    def images_with_parsing(self) -> Tensor:
        """What the image discriminator judges of B^ and A^: [2b, 12, h, w]."""
        return _judged(self.turn, self.fakes, torch.cat([self.parsing_b, self.reference.parsing]))

    @cached_property
    def faces(self) -> Tensor:
        """The head boxes of B^ and A^, stretched over the picture: [2b, 3, h, w]."""
        return crop_faces(self.fakes, torch.cat([self.scene.target.joints, self.reference.joints]))

    @cached_property
    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        """relu2_1 of A (or of the truth, where it is known), B^ and A^."""
        perceive = in_precision(self.turn.features, self.turn.config.train.precision)
        with torch.no_grad():
            real_a = perceive(self.reference.image)
        fake_b, fake_a = perceive(self.fakes).chunk(2)
        return real_a, fake_b, fake_a


def _adversarial(drawing: Drawing) -> Tensor:
    judge = drawing.turn.networks["image_discriminator"]
    return taken_at_once(lambda images: 2 * losses.lsgan(judge(images), real=True), drawing.images_with_parsing)


def _face(drawing: Drawing) -> Tensor:
    judge = drawing.turn.networks["face_discriminator"]
    return taken_at_once(lambda faces: 2 * losses.lsgan(judge(faces), real=True), drawing.faces)


def _pose(drawing: Drawing) -> Tensor:
    detect, target, reference = drawing.turn.networks["pose_detector"], drawing.scene.target, drawing.reference
    of_b = taken_at_once(lambda image: losses.pose(detect(image), target.heatmaps), drawing.fake_b)
    return of_b + taken_at_once(lambda image: losses.pose(detect(image), reference.heatmaps), drawing.fake_a)


def _content(drawing: Drawing) -> Tensor:
    real_a, _, fake_a = drawing.features
    return losses.content(fake_a, real_a)


def _style(drawing: Drawing) -> Tensor:
    real_a, fake_b, fake_a = drawing.features
    features, reference = drawing.turn.config.networks.features, drawing.reference
    labels_b = to_labels(drawing.parsing_b)
    if features.style == "patch":
        joints_b = drawing.scene.target.joints
        return losses.patch_style(fake_b, real_a, fake_a, reference.joints, joints_b, by_area=features.normalise)
    style = {
        "semantic": losses.semantic_style,
        "masked": losses.masked_style,
        "global": losses.global_style,
    }[features.style]
    return style(fake_b, real_a, fake_a, reference.labels, labels_b, by_area=features.normalise)


def _region_colour(drawing: Drawing) -> Tensor:
    reference = drawing.reference
    return losses.region_colour(drawing.fake_b, drawing.parsing_b.detach(), reference.image, reference.parsing)


def _reconstruction(drawing: Drawing) -> Tensor:
    return losses.reconstruction(drawing.fake_a, drawing.reference.image)


# The image losses of H_A, and in the last stage of H_S. Each sums its two terms, for B^ and A^, where it has two.
IMAGE_TERMS: dict[str, Callable[[Drawing], Tensor]] = {
    "adversarial": _adversarial,
    "face": _face,
    "pose": _pose,
    "content": _content,
    "style": _style,
    "region_colour": _region_colour,
    "reconstruction": _reconstruction,
}


def image_terms(turn: Turn) -> Terms:
    """The losses of what H_A draws; a term of weight 0 is not computed."""
    drawing = Drawing(turn)
    weights = vars(turn.config.losses)
    terms = {name: term(drawing) for name, term in IMAGE_TERMS.items() if weights[name]}
    if "adversarial" in terms:
        turn.fakes["image_discriminator"] = drawing.images_with_parsing.detach()
    if "face" in terms:
        turn.fakes["face_discriminator"] = drawing.faces.detach()
    return terms


def end_to_end_terms(turn: Turn) -> Terms:
    """H_S refined by the image losses, which reach it through its soft output, beside its own."""
    return semantic_terms(turn) | image_terms(turn)


def _judged(turn: Turn, images: Tensor, maps: Tensor) -> Tensor:
    """What the image discriminator sees: pictures with their parsing, which may be hard, or left out.

    A soft map gives a drawn picture away, whatever the picture. A hard one has the soft one's gradient.
    """
    networks = turn.config.networks
    if not networks.image_discriminator_reads_parsing:
        return images
    if networks.discriminator.maps == "hard":
        maps = one_hot(to_labels(maps)) + maps - maps.detach()
    return torch.cat([images, maps[:, 1:]], 1)


def _judge(turn: Turn, name: str, real: Tensor) -> Terms:
    """LSGAN, halves of real and fake, in one pass."""
    fake = turn.fakes[name]
    judged_real, judged_fake = turn.networks[name](torch.cat([real, fake])).split([len(real), len(fake)])
    return {"real": losses.lsgan(judged_real, real=True) / 2, "fake": losses.lsgan(judged_fake, real=False) / 2}


def parsing_discriminator_terms(turn: Turn) -> Terms:
    """Tell a person's parsing map from one that H_S made, given the pose."""
    assert turn.scene.pseudo is not None, "the semantic stages are given pseudo pairs"
    return _judge(turn, "parsing_discriminator", turn.scene.pseudo.view.maps)


def image_discriminator_terms(turn: Turn) -> Terms:
    """Tell a photo with its parsing map from a drawn one."""
    photos = torch.cat([turn.scene.source.image, turn.scene.target.image])
    maps = torch.cat([turn.scene.source.parsing, turn.scene.target.parsing])
    return _judge(turn, "image_discriminator", _judged(turn, photos, maps))


def face_discriminator_terms(turn: Turn) -> Terms:
    """Tell a photo's head from a drawn one."""
    photos = torch.cat([turn.scene.source.image, turn.scene.target.image])
    joints = torch.cat([turn.scene.source.joints, turn.scene.target.joints])
    return _judge(turn, "face_discriminator", crop_faces(photos, joints))


_APPEARANCE = Phase("appearance", image_terms)
_PARSING_DISCRIMINATOR = Phase("parsing_discriminator", parsing_discriminator_terms)
_IMAGE_DISCRIMINATORS = (
    Phase("image_discriminator", image_discriminator_terms),
    Phase("face_discriminator", face_discriminator_terms),
)

STAGES: dict[str, tuple[Phase, ...]] = {
    "pose": (Phase("pose_detector", pose_terms),),
    "semantic": (Phase("semantic", semantic_terms), _PARSING_DISCRIMINATOR),
    "appearance": (_APPEARANCE, *_IMAGE_DISCRIMINATORS),
    "end_to_end": (_APPEARANCE, Phase("semantic", end_to_end_terms), _PARSING_DISCRIMINATOR, *_IMAGE_DISCRIMINATORS),
}
ANNOTATOR_STAGES = {"annotator": (Phase("annotator", annotator_terms),)}  # of a run that trains nothing else
WANTS_PSEUDO_PAIRS = ("semantic", "end_to_end")

# Which loss weight gives a discriminator its work: at weight 0 it is not trained.
_WORK = {
    "parsing_discriminator": "parsing_adversarial",
    "image_discriminator": "adversarial",
    "face_discriminator": "face",
}


def phases_of(stage: str, weights: config.LossWeights) -> list[Phase]:
    """The phases of a stage that have anything to train on."""
    phases = (STAGES | ANNOTATOR_STAGES)[stage]
    return [p for p in phases if p.network not in _WORK or getattr(weights, _WORK[p.network])]
