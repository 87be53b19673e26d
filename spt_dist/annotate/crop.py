"""From a box of the photo to what a model sees, and back.

The rule: the box, grown, is widened about its middle to the shape of the model's input and laid on whole pixels; what
lies beyond the photo's edge has the declared colour, and the rest is resized. So a photo's pixel x (centres on
integers) lands at `(x - left + 0.5) * scale - 0.5`, with a scale of its own for each axis, since whole pixels leave the
shape a little off; the way back is the exact inverse.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Integer, Shaped, UInt8

from spt_dist.data.frame import MOST_FRAMED_PIXELS, Window, cut, resize
from spt_dist.data.schema import DataError, ImageArray

GROW = 1.25  # of a person's box: the surroundings that pose models and parsers learn with

Box = tuple[float, float, float, float]  # x0, y0, x1, y1: centres of its outermost px
Size = tuple[int, int]  # height, width in px


class View(NamedTuple):
    """A window on the photo, and the size at which a model sees it."""

    window: Window
    size: Size

    def picture(self, photo: ImageArray, border: tuple[float, float, float]) -> UInt8[np.ndarray, "rows columns 3"]:
        """What the model sees."""
        how = cv2.INTER_AREA if self.window.height > self.size[0] else cv2.INTER_LINEAR
        return resize(cut(photo, self.window, cv2.BORDER_CONSTANT, border), self.size, how)

    def to_photo(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points of the model's input in px of the photo."""
        scale = np.array((self.window.width / self.size[1], self.window.height / self.size[0]))
        return (xy + 0.5) * scale - 0.5 + (self.window.left, self.window.top)

    def classes_on_photo(self, scores: Shaped[np.ndarray, "c h w"], photo: Size) -> Integer[np.ndarray, "rows columns"]:
        """For each of the photo's pixels the class of the highest score, 0 outside the window.

        Scores lie over the input, however many they are, and are interpolated; the highest is taken afterwards, so that
        edges are as smooth as the scores.
        """
        inner, matrix = self._onto(photo, scores.shape[1:])
        size = (inner.width, inner.height)
        best = np.full(size[::-1], -np.inf, np.float32)
        found = np.zeros(size[::-1], np.int64)
        for number, layer in enumerate(scores.astype(np.float32)):
            how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(layer, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
            above = moved > best
            best[above], found[above] = moved[above], number
        return _placed(found, inner, photo)

    def map_on_photo(self, classes: Integer[np.ndarray, "h w"], photo: Size) -> Integer[np.ndarray, "rows columns"]:
        """For each of the photo's pixels the class that is nearest, 0 outside the window."""
        inner, matrix = self._onto(photo, classes.shape)
        how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(
            classes.astype(np.float32), matrix, (inner.width, inner.height), flags=how, borderMode=cv2.BORDER_REPLICATE
        )
        return _placed(moved.astype(np.int64), inner, photo)

    def _onto(self, photo: Size, cells: tuple[int, ...]) -> tuple[Window, Float[np.ndarray, "2 3"]]:
        """The window's part on the photo, and the map from its px to a grid of `cells` over the input."""
        window = self.window
        top, left = max(0, window.top), max(0, window.left)
        height = min(photo[0], window.top + window.height) - top
        width = min(photo[1], window.left + window.width) - left
        scale_x, scale_y = cells[1] / window.width, cells[0] / window.height
        matrix = [
            [scale_x, 0, (left - window.left + 0.5) * scale_x - 0.5],
            [0, scale_y, (top - window.top + 0.5) * scale_y - 0.5],
        ]
        return Window(top, left, height, width), np.array(matrix)


def view(box: Box, size: Size, grow: float = GROW) -> View:
    """How a model of an input of `size` sees a box of the photo; `DataError` where that would be too large."""
    low, high = np.array(box[:2]), np.array(box[2:]) + 1  # edges of the outermost px
    (x, y), (width, height) = (low + high) / 2, (high - low) * grow
    scale = max(height / size[0], width / size[1])
    height, width = max(1, round(scale * size[0])), max(1, round(scale * size[1]))
    if height * width > MOST_FRAMED_PIXELS:
        raise DataError(f"a person of {high - low} px cannot be cropped to the shape of {size} px; cut the photo")
    return View(Window(round(y - height / 2), round(x - width / 2), height, width), size)


def whole(photo: ImageArray) -> Box:
    """The box of all the photo."""
    return 0.0, 0.0, float(photo.shape[1] - 1), float(photo.shape[0] - 1)


def clip(box: Box, photo: ImageArray) -> Box:
    """What of the box lies on the photo."""
    _, _, right, bottom = whole(photo)
    x0, y0, x1, y1 = box
    return min(max(0.0, x0), right), min(max(0.0, y0), bottom), max(0.0, min(x1, right)), max(0.0, min(y1, bottom))


def _placed(part: Integer[np.ndarray, "h w"], at: Window, photo: Size) -> UInt8[np.ndarray, "rows columns"]:
    placed = np.zeros(photo, np.uint8)
    placed[at.top : at.top + at.height, at.left : at.left + at.width] = part
    return placed
