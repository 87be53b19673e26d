"""What a parsing map says about its picture: colour and area of every region. Pure, batched torch.

A region is a label's part of the picture; a parsing map may be soft (a softmax over the labels), and every mean here is
then weighted by it. The losses, the generators' inputs and the flat-fill baseline share these functions.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from spt_dist.body import FLIP_LABELS, Label
from spt_dist.types import Images, Parsing

PRESENT_PX = 1.0  # a region smaller than one pixel has no colour of its own
LEAST_WEIGHT = 1e-6
RIM_PX = 1
KNOWN_SHARE = 4.0  # a pixel of which a quarter is background is taken as it is

Colours = Float[Tensor, "b 10 3"]
Areas = Float[Tensor, "b 10"]


def region_sums(image: Images, parsing: Parsing) -> tuple[Colours, Areas]:
    """Each label's sum of colours and its area in px."""
    weights = parsing.flatten(2)
    return weights @ image.flatten(2).transpose(1, 2), weights.sum(dim=2)


def region_means(image: Images, parsing: Parsing) -> tuple[Colours, Areas]:
    """Each label's mean colour (towards 0 where its area is under one pixel) and its area in px."""
    sums, areas = region_sums(image, parsing)
    return sums / areas.clamp(min=PRESENT_PX)[..., None], areas


def region_colours(image: Images, parsing: Parsing) -> Colours:
    """Each label's mean colour, with a stand-in for a label that the picture lacks.

    The stand-in is the same limb of the other side (`body.FLIP_LABELS`), else the mean of the foreground, else the mean
    of the whole picture: so every label has a colour of this person.
    """
    sums, areas = region_sums(image, parsing)
    means = sums / areas.clamp(min=PRESENT_PX)[..., None]
    present = (areas >= PRESENT_PX)[..., None]
    foreground = slice(Label.BACKGROUND + 1, None)
    foreground_px = areas[:, foreground].sum(dim=1)[:, None, None]
    foreground_mean = sums[:, foreground].sum(dim=1, keepdim=True) / foreground_px.clamp(min=PRESENT_PX)
    fallback = torch.where(foreground_px >= PRESENT_PX, foreground_mean, image.mean(dim=(2, 3))[:, None])
    mirror = list(FLIP_LABELS)
    fallback = torch.where(present[:, mirror], means[:, mirror], fallback)
    return torch.where(present, means, fallback)


def paint(colours: Colours, parsing: Parsing) -> Images:
    """Every pixel in its label's colour: `sum_l parsing_l colour_l`."""
    return (colours.transpose(1, 2) @ parsing.flatten(2)).unflatten(2, parsing.shape[2:])


def fill_background(image: Images, parsing: Parsing) -> Images:
    """The picture without its person: what the background's pixels show, and behind the person their surroundings.

    The person's rim counts as person, since its pixels are mixed.

    Pull and push (Gortler et al., SIGGRAPH 1996): halve picture and weights until every pixel has weight, then let
    each finer level keep what it knows and take the rest from the coarser one.
    """
    weights = 1 - max_pool2d(1 - parsing[:, Label.BACKGROUND, None], 2 * RIM_PX + 1, stride=1, padding=RIM_PX)
    levels = [(image * weights, weights)]
    while max(levels[-1][1].shape[2:]) > 1:
        fine, known = levels[-1]
        levels.append((avg_pool2d(fine, 2, ceil_mode=True), avg_pool2d(known, 2, ceil_mode=True)))
    coarse, known = levels.pop()
    filled = coarse / known.clamp(min=LEAST_WEIGHT)
    for fine, known in reversed(levels):
        above = interpolate(filled, size=fine.shape[2:], mode="bilinear", align_corners=False)
        share = (known * KNOWN_SHARE).clamp(max=1)
        filled = share * fine / known.clamp(min=LEAST_WEIGHT) + (1 - share) * above
    return filled


def flat_fill(image: Images, parsing: Parsing, target_parsing: Parsing) -> Images:
    """The source's mean colour per label, painted into the target parsing: the baseline without any network."""
    return paint(region_colours(image, parsing), target_parsing)
