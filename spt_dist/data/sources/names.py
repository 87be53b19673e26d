"""What a picture's name says: which photo it is in every lineage's spelling, whom it shows, and whether it is junk.

DeepFashion in-shop: `img/WOMEN/Shorts/id_00000748/01_2_side.jpg`, flattened `fashionWOMENShortsid0000074801_2side.jpg`
(or `fasion...`; categories with or without `_`). An identity is gender, category, id *and* the number before the view:
somebody in certain clothes. The id alone names a garment, which other people wear in other colours under other numbers;
all published pairs (8,570 and 8,670) agree in the number too, and the published test splits have 1,000 such identities.

Market-1501: `0224_c6s1_055726_02.jpg`; the first four digits are the identity, `-1` and `0000` are junk: bad boxes and
distractors. Some files are really called `.jpg.jpg`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # who cannot be read is named
MARKET_JUNK = ("-1", "0000")

_FLAT = re.compile(r"(?:fasion|fashion)?(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d{2})_(\d+)_?([a-z]+)")
_TREE = re.compile(r"(?:.*/)?(WOMEN|MEN)/([^/]+)/id_(\d{8})/(\d{2})_(\d+)_([a-z]+)")
_MARKET = re.compile(r"(-1|\d{4})_c\d+s\d+_\d+_\d+(?:\.jpg)?")


class About(NamedTuple):
    """`key` is the same for every spelling of one photo's name; `flat` is its name in a folder without subfolders."""

    key: str
    flat: str
    identity: str | None = None
    junk: bool = False


Reader = Callable[[str], About | None]  # from a name, or a path with `/`, to what it says; None: not such a name


def deepfashion(name: str) -> About | None:
    """A name, or a path in the original tree, of DeepFashion in-shop."""
    stem = strip_ending(name)
    found = _TREE.fullmatch(stem) or _FLAT.fullmatch(stem.rpartition("/")[2])
    if not found:
        return None
    gender, category, number, shot, view, what = found.groups()
    identity = f"{gender}/{category.replace('_', '')}/id_{number}/{shot}"
    flat = f"fashion{gender}{category}id{number}{shot}_{view}{what}"
    return About(f"{identity}_{view}_{what}", flat if _TREE.fullmatch(stem) else stem.rpartition("/")[2], identity)


def market(name: str) -> About | None:
    """A name of Market-1501."""
    stem = strip_ending(name.rpartition("/")[2])
    found = _MARKET.fullmatch(stem)
    if not found:
        return None
    junk = found[1] in MARKET_JUNK
    return About(stem, stem, None if junk else found[1], junk)


def plain(name: str) -> About | None:
    """Any other name: it says nothing of the person."""
    stem = strip_ending(name).strip("/")
    return About(stem, stem.replace("/", "_")) if stem.strip(".") else None


def recognised(name: str) -> About | None:
    """What the name says by the first of these that knows it."""
    return market(name) or deepfashion(name) or plain(name)


def strip_ending(name: str) -> str:
    """The name without the ending of a picture file, if it has one."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in PHOTO_ENDINGS else name
