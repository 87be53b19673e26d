"""What each row of the table shows for the test pairs: references that no network drew, and what runs draw."""

from typing import NamedTuple

import torch
from torch import Tensor

from spt_dist.ablation.variants import Maps
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.schema import Batch, collate
from spt_dist.geometry import part_warps
from spt_dist.held_out import Pair
from spt_dist.infer import Predictor
from spt_dist.models.inputs import one_hot, to_bytes, to_float, to_labels, view
from spt_dist.models.unet import warp_features
from spt_dist.regions import flat_fill
from spt_dist.types import ImageBytes, LabelBytes

DRAWN_AT_ONCE = 50
COPIED, WARPED, FLAT_TRUE = "source copied", "source warped part by part", "flat colours, true map"
ANOTHER, REAL = "another person's picture", "the real picture"


class Test(NamedTuple):
    """The pairs to score: sources, and the same people in the wanted poses."""

    source: Batch
    target: Batch

    @classmethod
    def of(cls, pairs: list[Pair]) -> "Test":
        """The pairs as two batches."""
        return cls(collate([pair.source for pair in pairs]), collate([pair.target for pair in pairs]))

    def parts(self) -> list["Test"]:
        """The same in batches that fit in memory."""
        batches = [_split(batch) for batch in self]
        return [Test(*part) for part in zip(*batches, strict=True)]


class Shown(NamedTuple):
    """Pictures uint8 [b h w 3], and the label maps [b h w] that they were painted from, where there are any."""

    images: ImageBytes
    labels: LabelBytes | None = None


def references(test: Test) -> dict[str, Shown]:
    """What needs no training."""
    source, target = test
    size = (source.labels.shape[1], source.labels.shape[2])
    image = to_float(source.images)
    warps = part_warps(target.joints, source.joints, size)
    flat = flat_fill(image, one_hot(source.labels), one_hot(target.labels))
    return {
        COPIED: Shown(source.images, source.labels),
        WARPED: Shown(to_bytes(warp_features(image, warps))),
        FLAT_TRUE: Shown(to_bytes(flat), target.labels),
        ANOTHER: Shown(target.images.roll(2, 0)),  # identities have two pictures each
        REAL: Shown(target.images, target.labels),
    }


def draw(predictor: Predictor, test: Test, maps: Maps, pseudo_pairs: PseudoPairs) -> Shown:
    """A run's pictures, painted into the maps that the row asks for."""
    parts = [_draw(predictor, part, maps, pseudo_pairs) for part in test.parts()]
    labels = [part.labels for part in parts if part.labels is not None]
    return Shown(torch.cat([part.images for part in parts]), torch.cat(labels))


def flat_in(shown: Shown, test: Test) -> Shown:
    """The source's mean colour per region, painted into the maps of `shown`."""
    assert shown.labels is not None
    flat = flat_fill(to_float(test.source.images), one_hot(test.source.labels), one_hot(shown.labels))
    return Shown(to_bytes(flat), shown.labels)


@torch.no_grad()
def _draw(predictor: Predictor, test: Test, maps: Maps, pseudo_pairs: PseudoPairs) -> Shown:
    if maps == "predicted":
        image, parsing = predictor.draw(test.source.images, test.source.labels, *(batch.joints for batch in test))
        return Shown(to_bytes(image), to_labels(parsing))
    labels = test.target.labels if maps == "true" else pseudo_pairs.match(test.source, test.target.joints)[0]
    return Shown(to_bytes(_paint(predictor, test, one_hot(labels))), labels)


def _paint(predictor: Predictor, test: Test, parsing: Tensor) -> Tensor:
    """H_A's picture in a given map."""
    source, target = (view(*batch[1:], predictor.settings.data.heatmap_sigma_px) for batch in test)
    stretch = predictor.settings.networks.appearance.max_stretch
    warps = part_warps(target.joints, source.joints, predictor.size, stretch)
    return predictor.appearance(source.image, source.parsing, source.heatmaps, parsing, target.heatmaps, warps)


def _split(batch: Batch) -> list[Batch]:
    slices = [slice(start, start + DRAWN_AT_ONCE) for start in range(0, len(batch.ids), DRAWN_AT_ONCE)]
    return [Batch(batch.ids[part], *(tensor[part] for tensor in batch[1:])) for part in slices]
