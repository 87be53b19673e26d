"""Poses from what pose models answer: points x, y in px of the model's input, and a confidence 0 to 1.

A joint is where its row or map is highest. Between cells a parabola through the highest value and its two neighbours
says where the peak is: of a Gaussian's logarithm, which SimCC's scores are, it is exact, and of a Gaussian that is
wider than a cell it is off by a few hundredths of one. At the edge, and on a plateau, there is no neighbour to ask.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

Rows = Float[np.ndarray, "k n"]


def from_simcc(x: Rows, y: Float[np.ndarray, "k m"], split_ratio: float) -> Float[np.ndarray, "k 3"]:
    """Points from one row of bins for x and one for y a joint, `split_ratio` bins a px; the weaker peak counts."""
    confidence = np.minimum(x.max(1), y.max(1)).clip(0, 1)
    return np.column_stack((_peaks(x) / split_ratio, _peaks(y) / split_ratio, confidence))


def from_heatmaps(
    maps: Float[np.ndarray, "k h w"], size: tuple[int, int], align: Literal["origin", "centres", "ends"]
) -> Float[np.ndarray, "k 3"]:
    """Points from one map a joint; `align` says how its cells lie over the input of `size` (height, width) px."""
    count, height, width = maps.shape
    rows, columns = np.divmod(maps.reshape(count, -1).argmax(1), width)
    each = np.arange(count)
    x = columns + _shift(maps[each, rows], columns)
    y = rows + _shift(maps[each, :, columns], rows)
    cells = np.column_stack((x, y))
    sides, grid = np.array(size[::-1], float), np.array((width, height), float)
    xy = {
        "origin": cells * sides / grid,
        "centres": (cells + 0.5) * sides / grid - 0.5,
        "ends": cells * (sides - 1) / np.maximum(grid - 1, 1),
    }[align]
    return np.column_stack((xy, maps[each, rows, columns].clip(0, 1)))


def _peaks(rows: Rows) -> Float[np.ndarray, "k"]:
    highest = rows.argmax(1)
    return highest + _shift(rows, highest)


def _shift(rows: Rows, at: Integer[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """How far the peak lies from the highest cell, -0.5 to 0.5."""
    each, last = np.arange(len(rows)), rows.shape[1] - 1
    before, here, after = (rows[each, (at + step).clip(0, last)].astype(float) for step in (-1, 0, 1))
    bend = 2 * here - before - after
    inner = (at > 0) & (at < last) & (bend > 0)
    return np.where(inner, 0.5 * (after - before) / np.where(inner, bend, 1), 0)
