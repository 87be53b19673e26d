"""Parsing maps as parsers write them: `.png` (grey or palette), `.npy`, `.mat`. Values are the parser's own classes."""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image, UnidentifiedImageError

from spt_dist.data.schema import DataError

MAP_ENDINGS = (".png", ".npy", ".mat")
MAT_NAMES = ("groundtruth", "labels", "parsing")  # of the matrix, where a file has several
GREY_MODES = ("1", "L", "P", "I", "I;16")

Classes = Integer[np.ndarray, "h w"]


def read_label_map(path: Path) -> Classes:
    """The classes of a parsing map, by the file's ending.

    Raises:
        DataError: the file cannot be read, or is no map of whole numbers.
    """
    if not path.is_file():
        raise DataError(f"`{path}` does not exist")
    reader = {".png": _read_png, ".npy": _read_npy, ".mat": _read_mat}.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"`{path}` is no parsing map; endings are {', '.join(MAP_ENDINGS)}")
    return _whole_numbers(reader(path), path)


def _read_png(path: Path) -> np.ndarray:
    """Palette indices, not the colours that they stand for."""
    try:
        with Image.open(path) as picture:
            mode, pixels = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"`{path}` cannot be read: {error}") from None
    if mode in GREY_MODES:
        return pixels
    if pixels.ndim == 3 and (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0]
    raise DataError(f"`{path}` is a colour picture ({mode}); give the parser's map of class numbers, not its colours")


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"`{path}` cannot be read: {error}") from None


def _read_mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    broken = (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError)
    try:
        content = loadmat(path)
    except NotImplementedError:
        raise DataError(f"`{path}` is of MATLAB 7.3; save it with -v7") from None
    except (*broken, MatReadError, struct.error, zlib.error) as error:
        raise DataError(f"`{path}` cannot be read: {error}") from None
    maps = {name: value for name, value in content.items() if _is_map(value)}
    chosen = next((name for name in MAT_NAMES if name in maps), next(iter(maps), None))
    if chosen is None or (len(maps) > 1 and chosen not in MAT_NAMES):
        names = [name for name in content if not name.startswith("__")]
        raise DataError(f"`{path}` holds {names}; one matrix of class numbers is expected, called `{MAT_NAMES[0]}`")
    return maps[chosen]


def _is_map(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.size > 1 and value.dtype.kind in "uif"


def _whole_numbers(values: np.ndarray, path: Path) -> Classes:
    """The array as classes [h, w]; axes of length 1 in front or behind are left out."""
    found = f"{values.dtype} {values.shape}"
    while values.ndim > 2 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or not values.size or values.dtype.kind not in "buif":
        raise DataError(f"`{path}` holds {found}; a parsing map is height x width whole numbers")
    if values.dtype.kind == "f" and not ((np.abs(values) < 2**15) & (values == np.round(values))).all():
        raise DataError(f"`{path}` holds fractions; a parsing map is whole numbers, such as the argmax of scores")
    return np.ascontiguousarray(values).astype(np.int64)
