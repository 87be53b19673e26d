"""Pictures as people keep them, read into the two forms that everything here works on: RGB photos and label maps.

The header is read first, and what is too large, moving or of a foreign format is refused by name before a pixel is
decoded. A file that ends early is refused, never filled up. What is left becomes an array by these rules:

- A photo is turned upright by its EXIF data. Its map and its joints refer to the upright picture, the one that every
  viewer shows; a map of the unturned size is refused by `validate`.
- CMYK, grey and palette colours become RGB without colour profiles; of 16 bits the upper 8 count; transparency is
  ignored, the stored colours count. Of a JPEG that carries several pictures (phones add depth maps) the first counts.
- A map is a PNG of one channel, 8 or 16 bits, or of a palette, whose indices are then the labels.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from spt_dist.body import Label
from spt_dist.data.schema import DataError, ImageArray, LabelArray

MOST_PIXELS = 64_000_000  # of one picture, 192 MB when decoded; large phones make 50 million
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAP_FORMATS = ("PNG",)
MOVING_FORMATS = ("PNG", "WEBP")
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
# What Pillow raises on damaged files of the formats above.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error, zlib.error)


def read_photo(data: bytes, name: str) -> ImageArray:
    """RGB pixels of a photo's file, upright; `DataError` names it and says why it cannot be used."""
    return _read(data, name, PHOTO_FORMATS, _to_rgb)


def read_map(data: bytes, name: str) -> LabelArray:
    """Labels of a parsing map's file; `DataError` names it and says why it is none."""
    labels = _read(data, name, MAP_FORMATS, lambda picture: _to_labels(picture, name))
    if (highest := int(labels.max())) > max(Label):
        raise DataError(f"`{name}` holds label {highest}, which is not one of 0..{int(max(Label))}")
    return labels.astype(np.uint8)


def _read(data: bytes, name: str, formats: tuple[str, ...], convert: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """The converted picture of a file whose header is acceptable."""
    if not data:
        raise DataError(f"`{name}` is empty; copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on files that are used or refused here anyway
            with Image.open(io.BytesIO(data), formats=formats) as picture:
                _check_header(picture, name)
                return convert(picture)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"`{name}` has far more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except Image.UnidentifiedImageError:
        wanted = " or ".join(", ".join(formats).rsplit(", ", 1))
        raise DataError(f"`{name}` is not a {wanted} file that can be decoded ({len(data):,} bytes)") from None
    except DAMAGE as error:
        raise DataError(f"`{name}` is damaged or cut off ({error}); copy it again") from None


def _check_header(picture: Image.Image, name: str) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise DataError(f"`{name}` is {height} x {width} px; {MOST_PIXELS:,} pixels are allowed, make it smaller")
    if picture.format in MOVING_FORMATS and (frames := getattr(picture, "n_frames", 1)) > 1:
        raise DataError(f"`{name}` moves, it holds {frames} pictures; save the one that is meant")


def _to_rgb(picture: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in SIXTEEN_BITS:
        upright = Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if upright.mode in ("P", "PA"):
        upright = upright.convert("RGBA")  # drops the palette's transparency without a word, as all transparency
    return np.array(upright.convert("RGB"), np.uint8)


def _to_labels(picture: Image.Image, name: str) -> np.ndarray:
    if picture.mode not in ("L", "P", *SIXTEEN_BITS):
        raise DataError(
            f"`{name}` must have a single channel of 8 or 16 bits, or a palette, that holds the labels "
            f"0..{int(max(Label))}; it is {picture.mode}"
        )
    return np.asarray(picture)
