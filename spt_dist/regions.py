"""What a parsing map says about its picture: colour and area of every region. Pure, batched torch.

A region is a label's part of the picture; a parsing map may be soft (a softmax over the labels), and every mean here is
then weighted by it. The losses, the generators' inputs and the flat-fill baseline share these functions.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spt_dist.body import FLIP_LABELS, Label
from spt_dist.types import Images, Parsing

PRESENT_PX = 1.0  # a region smaller than one pixel has no colour of its own

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


def flat_fill(image: Images, parsing: Parsing, target_parsing: Parsing) -> Images:
    """The source's mean colour per label, painted into the target parsing: the baseline without any network."""
    return paint(region_colours(image, parsing), target_parsing)
