"""What the applications decide without a network: which label goes where, and how painted regions join a photo.

Texture transfer and manipulation are one operation: a new parsing map for a photo in its own pose, a painting of that
map, and a photo in which only the pixels that must change do. `infer.Predictor` asks the networks for the painting.
"""

from collections.abc import Collection
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from spt_dist.body import CLOTHING_LABELS, FOREGROUND_LABELS, Label

Pixels = UInt8[np.ndarray, "h w 3"]
Labels = UInt8[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]

WORN_SHARE = 0.01  # of the person's pixels: less of a label is a slip of the parser, not a garment
RIM_PX = 1
EDGE_SIGMA = 0.5  # px; how soft a painted region ends
LEGS = (Label.L_LEG, Label.R_LEG)
SKIN = (LEGS, (Label.L_ARM, Label.R_ARM), (Label.FACE,))  # in the order in which skin is looked for
BARE_SHARE = 0.06  # of the person's pixels: fewer of a leg's are its shoe
CORE_SHARE = 0.2
MIRROR_REACHES = (0.25, 0.5, 1.0)  # the last that stays in the material counts


class Swap(NamedTuple):
    """A wearer's map with another's garments: the new `labels`, and where the other's `texture` belongs."""

    labels: Labels
    texture: Mask


def parse_labels(text: str) -> set[Label]:
    """`upper,pants` as labels of `body.Label`; `ValueError` names what is none of them."""
    names = {label.name.lower(): label for label in FOREGROUND_LABELS}
    chosen = [name.strip().lower() for name in text.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in names]:
        raise ValueError(f"`{unknown[0]}` is no label of a person; there are {', '.join(names)}")
    if not chosen:
        raise ValueError(f"no label is given; name some of {', '.join(names)}, separated by commas")
    return {names[name] for name in chosen}


def worn(labels: Labels, chosen: Collection[Label]) -> set[Label]:
    """Those of the labels that cover a share of the person worth a garment."""
    person = max(1, int((labels != Label.BACKGROUND).sum()))
    return {label for label in chosen if (labels == label).sum() >= WORN_SHARE * person}


def swap_garments(wearer: Labels, giver: Labels, moved: Labels, chosen: Collection[Label]) -> Swap:
    """The wearer's map with the giver's `chosen` labels; `moved` is the giver's map in the wearer's pose.

    Where both wear the same kinds the shapes stay the wearer's. Else (trousers for a skirt, a dress for both) they are
    the giver's: garments cover clothes, legs and background, never face, hair or arms; what the wearer's own garment
    uncovers is what `moved` shows there.

    Raises:
        ValueError: the giver wears none of them, or the swap would change nothing.
    """
    names = ", ".join(label.name.lower() for label in sorted(chosen))
    if not (given := worn(giver, chosen)):
        has = ", ".join(label.name.lower() for label in Label if label in worn(giver, Label) and label) or "nothing"
        raise ValueError(f"the giver has no {names}; `labels` must name some of what is there: {has}")
    had = worn(wearer, chosen)
    if given == had or not set(chosen) & set(CLOTHING_LABELS):
        texture = np.isin(wearer, sorted(given))
        if not texture.any():
            raise ValueError(f"the wearer has no {names}, and only garments can be put on; choose other `labels`")
        return Swap(wearer.copy(), texture)
    garments = sorted(given)
    may_cover = np.isin(wearer, (Label.BACKGROUND, *LEGS, *chosen, *(CLOTHING_LABELS if len(had) else ())))
    texture = may_cover & np.isin(moved, garments)
    uncovered = np.isin(wearer, sorted(set(chosen) & set(CLOTHING_LABELS))) & ~texture
    behind = np.where(np.isin(moved, (Label.BACKGROUND, *LEGS)), moved, wearer)
    labels = np.where(texture, moved, np.where(uncovered, behind, wearer)).astype(np.uint8)
    # What stays under the giver's garments' names, such as a strip that `moved` calls an arm, wears their cloth.
    return Swap(labels, np.isin(labels, garments) & (texture | uncovered))


def collage(photo: Pixels, old: Labels, new: Labels) -> Pixels:
    """The photo with a first guess wherever the map changed: the material of the new label, grown from where it is.

    A garment that the old map lacks is cut from the one that it replaces; skin that was covered is like skin that is
    seen. Pixels that become background keep what they show: `regions.fill_background` knows better.
    """
    guess = photo.copy()
    old = np.where(np.isin(old, CLOTHING_LABELS) & np.isin(new, CLOTHING_LABELS), new, old)
    for label in FOREGROUND_LABELS:
        changed = (new == label) & (old != label)
        if not changed.any():
            continue
        if any(label in limb for limb in SKIN):
            guess[changed] = _skin_colour(photo, old)
        elif (old == label).any():
            guess[changed] = grow(photo, old == label)[changed]
    return guess


def grow(photo: Pixels, material: Mask) -> Pixels:
    """The photo with the material everywhere: beyond its border it goes on as its own mirror image.

    A pixel p whose nearest pixel of the material is q shows what lies at q + (q - p), or less far inside where the
    material is thinner than that. The material's outermost pixels are mixed with their surroundings and do not count.
    """
    material = _core(material)
    _, numbers = cv2.distanceTransformWithLabels(
        (~material).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.asarray(numbers, np.int64)
    order = np.zeros((nearest.max() + 1, 2), int)
    order[nearest[material]] = np.argwhere(material)
    here = np.moveaxis(np.indices(material.shape), 0, -1)
    border = order[nearest]
    found = border
    for reach in MIRROR_REACHES:
        place = np.round(border + reach * (border - here)).astype(int)
        held = place.clip(0, np.array(material.shape) - 1)
        good = material[held[..., 0], held[..., 1]] & (held == place).all(-1)
        found = np.where(good[..., None], held, found)
    return photo[found[..., 0], found[..., 1]]


def with_rim(changed: Mask, labels: Labels) -> Mask:
    """The changed pixels, and the background within `RIM_PX` of them: there the photo mixes it with what was."""
    near = cv2.dilate(changed.astype(np.uint8), np.ones((2 * RIM_PX + 1,) * 2, np.uint8)).astype(bool)
    return changed | near & (labels == Label.BACKGROUND)


def paste(photo: Pixels, painting: Pixels, where: Mask) -> Pixels:
    """The painting inside the mask, the untouched photo outside it.

    The outermost pixels inside mix with the surroundings, not with what they covered: no rim of the old cloth is left.
    """
    inside = where.astype(np.float32)[..., None]
    around = _blur(photo * (1 - inside)) / np.maximum(_blur(1 - inside), 1e-6)
    share = _blur(inside)
    mixed = share * painting + (1 - share) * around
    return np.where(where[..., None], mixed.round().clip(0, 255), photo).astype(np.uint8)


def _blur(picture: np.ndarray) -> np.ndarray:
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (3, 3), EDGE_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(*picture.shape[:2], -1)


def _skin_colour(photo: Pixels, labels: Labels) -> np.ndarray:
    """The median colour of the barest limbs there are; of the whole person where no skin is seen."""
    person = labels != Label.BACKGROUND
    for kind in SKIN:
        mask = np.isin(labels, kind)
        if mask.sum() > BARE_SHARE * person.sum():
            break
    else:
        mask = next((seen for kind in reversed(SKIN) if (seen := np.isin(labels, kind)).any()), person)
    return np.median(photo[_core(mask)], axis=0).astype(np.uint8)


def _core(mask: Mask) -> Mask:
    """The mask without its outermost pixels, where that leaves enough of it."""
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
    return core if core.sum() >= CORE_SHARE * mask.sum() else mask
