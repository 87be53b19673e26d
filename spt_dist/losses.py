"""The terms of the objective: pure, unweighted, one function per term of the paper.

Weights are applied once, where the terms are summed. Every term is a mean over samples, so that the mean over equal
shares of a batch is the term of the whole batch: data-parallel training computes exactly the single-process loss.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from spt_kernels import semantic_gram_soft, semantic_style_loss
from torch import Tensor
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

from spt_dist.body import FOREGROUND_LABELS, STYLE_LABELS, Label
from spt_dist.regions import PRESENT_PX, region_means
from spt_dist.types import Features, Heatmaps, Images, Joints, LabelBytes, Parsing, Scalar

LabelWeights = Float[Tensor, "10"]

PATCH = 1 / 16  # of the picture's height: half a side of the squares round the joints
FEATURE_PX = 2  # picture pixels along a pixel of relu2_1


def lsgan(prediction: Float[Tensor, "b 1 h w"], real: bool) -> Scalar:
    """Least-squares adversarial loss: `mean((D - 1)^2)` for what should look real, `mean(D^2)` for what should not."""
    return (prediction - float(real)).square().mean()


def pose(predicted: Heatmaps, heatmaps: Heatmaps) -> Scalar:
    """Squared error between the frozen detector's heat maps of a generated image and those of its pose."""
    return mse_loss(predicted, heatmaps)


def content(features: Features, reference: Features) -> Scalar:
    """Squared error between relu2_1 features of the cycle's image and of the source."""
    return mse_loss(features, reference)


def semantic_style(
    fake_b: Features,
    real_a: Features,
    fake_a: Features,
    labels_a: UInt8[Tensor, "b H W"],
    labels_b: UInt8[Tensor, "b H W"],
    by_area: bool = False,
) -> Scalar:
    """Semantic-aware style loss: Gram matrices inside each region, B^ against A and B^ against A^.

    `mean((v G(B^) - v G(A))^2) + mean((v G(A^) - v G(B^))^2)` over [b, r, c, c], with the visibility
    `v[b, r] = max(mask_a) max(mask_b)`: a region counts where both poses show it. The features are relu2_1 of the
    generated B^, of the source A and of the cycle's A^; a mask is a label of `body.STYLE_LABELS` in either pose's label
    map, averaged over a feature's pixels. `by_area` (ours) divides a Gram matrix by its region's area (the sum of the
    squared mask, one feature pixel at least) instead of by h w, so that small regions weigh as much as large ones.
    """
    return semantic_style_loss(fake_b, real_a, fake_a, labels_a, labels_b, STYLE_LABELS, by_area)


def masked_style(
    fake_b: Features,
    real_a: Features,
    fake_a: Features,
    labels_a: UInt8[Tensor, "b H W"],
    labels_b: UInt8[Tensor, "b H W"],
    by_area: bool = False,
) -> Scalar:
    """`semantic_style` with the whole person as the one region: the paper's ablation."""
    person_a, person_b = ((labels != Label.BACKGROUND).to(torch.uint8) for labels in (labels_a, labels_b))
    return semantic_style_loss(fake_b, real_a, fake_a, person_a, person_b, (1,), by_area)


def global_style(
    fake_b: Features,
    real_a: Features,
    fake_a: Features,
    labels_a: UInt8[Tensor, "b H W"],
    labels_b: UInt8[Tensor, "b H W"],
    by_area: bool = False,
) -> Scalar:
    """`semantic_style` with the whole picture as the one region; the labels give their size only."""
    everywhere = torch.ones_like(labels_a)
    return semantic_style_loss(fake_b, real_a, fake_a, everywhere, everywhere, (1,), by_area)


def patch_style(
    fake_b: Features, real_a: Features, fake_a: Features, joints_a: Joints, joints_b: Joints, by_area: bool = False
) -> Scalar:
    """`semantic_style` with a square round every joint as regions: needs no parsing map (Pumarola et al., CVPR 2018).

    A square's half side is `PATCH` of the picture's height; joints are in px of the picture, features half its size.
    """
    masks_a, masks_b = (_patches(joints, fake_b) for joints in (joints_a, joints_b))
    visible = (masks_a.amax((2, 3)) * masks_b.amax((2, 3)))[..., None, None]
    real, there, back = (
        _gram(features, masks, by_area) for features, masks in ((real_a, masks_a), (fake_b, masks_b), (fake_a, masks_a))
    )
    return ((there - real) * visible).square().mean() + ((back - there) * visible).square().mean()


def _patches(joints: Joints, features: Features) -> Float[Tensor, "b 18 h w"]:
    """1 where a feature's pixel lies in the square round a visible joint."""
    height, width = features.shape[2:]
    x, y = ((torch.arange(side, device=joints.device) + 0.5) * FEATURE_PX - 0.5 for side in (width, height))
    half_px = PATCH * height * FEATURE_PX
    inside_x = (x - joints[..., 0, None]).abs() <= half_px
    inside_y = (y - joints[..., 1, None]).abs() <= half_px
    seen = (joints[..., 2] > 0)[..., None, None]
    return (inside_y[..., :, None] & inside_x[..., None, :] & seen).to(features.dtype)


def _gram(features: Features, masks: Float[Tensor, "b r h w"], by_area: bool) -> Float[Tensor, "b r c c"]:
    gram = semantic_gram_soft(features, masks)
    if not by_area:
        return gram
    pixels = features.shape[2] * features.shape[3]
    return gram * pixels / masks.square().sum((2, 3)).clamp(min=1)[..., None, None]


def parsing(logits: Parsing, labels: LabelBytes, label_weights: LabelWeights) -> Scalar:
    """Cross-entropy of H_S against its pseudo label, each pixel weighted by its label; the mean is over all pixels."""
    return cross_entropy(logits, labels.long(), weight=label_weights, reduction="none").mean()


def places(logits: Heatmaps, heatmaps: Heatmaps) -> Scalar:
    """Cross-entropy of where joints are, over all pixels and 'nowhere', whose logit is 0; ours, for the annotator.

    A joint's heat map, scaled to the sum 1, is what is wanted; a missing one's is empty: 'nowhere'.
    """
    found, wanted = logits.flatten(2), heatmaps.flatten(2)
    wanted = wanted / wanted.sum(2, keepdim=True).clamp(min=torch.finfo(wanted.dtype).tiny)
    everywhere = torch.cat([found, torch.zeros_like(found[..., :1])], 2).logsumexp(2)
    return (everywhere - (wanted * found).sum(2)).mean()


def label_weights(by_name: Mapping[str, float]) -> LabelWeights:
    """The weights of `config.Semantic.label_weights` as a table over labels; a label that is not named weighs 1.

    Raises:
        ValueError: a name is not a label's.
    """
    names = [label.name.lower() for label in Label]
    unknown = sorted(set(by_name) - set(names))
    if unknown:
        raise ValueError(f"`label_weights` names {unknown}; labels are {', '.join(names)}")
    return torch.tensor([float(by_name.get(name, 1.0)) for name in names])


def region_colour(image: Images, parsing: Parsing, reference_image: Images, reference_parsing: Parsing) -> Scalar:
    """L1 between the mean colours of each foreground region that both pictures show; ours, not the paper's.

    Per sample the mean over its visible regions (0 where there is none). The gradient reaches the images only: a
    parsing that could answer would move its borders instead of the colours.
    """
    labels = list(FOREGROUND_LABELS)
    means, areas = region_means(image, parsing.detach())
    reference_means, reference_areas = region_means(reference_image, reference_parsing.detach())
    visible = ((areas >= PRESENT_PX) & (reference_areas >= PRESENT_PX))[:, labels]
    differences = (means - reference_means)[:, labels].abs().mean(dim=2) * visible
    return (differences.sum(dim=1) / visible.sum(dim=1).clamp(min=1)).mean()


def reconstruction(image: Images, reference: Images) -> Scalar:
    """L1 between images: what has come back to the source's pose, and the source."""
    return l1_loss(image, reference)
