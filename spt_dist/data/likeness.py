"""How alike two pictures look, in 64 bits: copies of one picture, recompressed or resized, differ in few of them.

The picture's brightness is averaged to 32 x 32 cells; of their cosine transform the 64 coefficients of the lowest
frequencies but the mean count, each with one bit: is it above the median? All numbers are whole, so that the bits
are the same on every machine.

Neighbours within `distance` bits are found without comparing all pairs: in four bands of 16 bits, two such hashes agree
in at least one band up to `distance // 4` bits, so whoever looks up every such variant of each band misses nobody.
"""

from collections.abc import Iterator
from itertools import combinations
from math import cos, pi, sqrt

import numpy as np
from jaxtyping import Int64, Integer, UInt8, UInt64

CELLS = 32
FREQUENCIES = 9  # of which the bits take the 64 lowest, without the mean
GREY = (299, 587, 114)  # thousandths of red, green and blue in a colour's brightness
COSINE_UNITS = 1 << 10
ALIKE_BITS = 6  # among 997 photos, seven true copies are up to 6 apart, the nearest strangers 8
BANDS, BAND_BITS = 4, 16
AT_ONCE = 1 << 22  # pairs compared together

Bits = UInt64[np.ndarray, "n"]


def likeness(image: UInt8[np.ndarray, "h w 3"]) -> int:
    """64 bits of how a picture looks; count the bits in which two differ (`bits_apart`)."""
    height, width = image.shape[:2]
    rows = _cells(image.reshape(height, -1)).reshape(CELLS, width, len(GREY)) @ np.array(GREY)
    cells = _cells(rows.T).T // (height * width)
    found = (_COSINES @ cells @ _COSINES.T)[_LOWEST]
    bits = found > np.sort(found)[len(found) // 2 - 1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def bits_apart(one: int, other: int) -> int:
    """In how many bits two pictures' likenesses differ: 0 for copies, about 32 for strangers."""
    return (one ^ other).bit_count()


def near(hashes: Bits, distance: int = ALIKE_BITS) -> Int64[np.ndarray, "pairs 2"]:
    """The pairs (i, j), i < j, of hashes at most `distance` bits apart, sorted.

    Of equal hashes each is paired with the first of them, and only the first with others: a thousand copies of one
    picture make 999 pairs.
    """
    values, first, back = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.column_stack((first[back], np.arange(len(hashes))))
    found = [copies[copies[:, 0] < copies[:, 1]]]
    found += [np.sort(first[pairs], axis=1) for pairs in _near_values(values, distance)]
    return np.unique(np.concatenate(found).astype(np.int64), axis=0)


def _near_values(values: Bits, distance: int) -> Iterator[Int64[np.ndarray, "pairs 2"]]:
    """The pairs of different values within `distance`, some of them repeatedly."""
    variants = [
        sum(1 << bit for bit in bits)
        for changed in range(min(distance // BANDS, BAND_BITS) + 1)
        for bits in combinations(range(BAND_BITS), changed)
    ]
    for band in range(BANDS):
        own = (values >> np.uint64(BAND_BITS * band)).astype(np.uint16)
        order = np.argsort(own, kind="stable")
        ends = np.cumsum(np.bincount(own, minlength=1 << BAND_BITS))
        for variant in variants:
            wanted = own ^ np.uint16(variant)
            start, stop = np.where(wanted > 0, ends[wanted - np.uint16(1)], 0), ends[wanted]
            stop[wanted < own] = 0  # such a pair is met from its other end
            for rows, columns in _ranges(start, np.maximum(start, stop)):
                others = order[columns]
                close = np.bitwise_count(values[rows] ^ values[others]) <= distance
                close &= (rows < others) | (variant > 0)
                yield np.column_stack((rows[close], others[close]))


def _ranges(
    start: Int64[np.ndarray, "n"], stop: Int64[np.ndarray, "n"]
) -> Iterator[tuple[Int64[np.ndarray, "m"], Int64[np.ndarray, "m"]]]:
    """Every (row, place) with start <= place < stop of that row, about `AT_ONCE` together."""
    counts = stop - start
    chunks = np.cumsum(counts) // AT_ONCE
    for rows in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(chunks)) + 1):
        size = counts[rows]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        yield np.repeat(rows, size), np.repeat(start[rows], size) + within


def _cells(rows: Integer[np.ndarray, "length m"]) -> Int64[np.ndarray, "cells m"]:
    """The sums of the rows in each cell, in `CELLS`ths: a row on the edge of two cells is shared by both."""
    length, sums = len(rows), []
    for cell in range(CELLS):
        low, high = cell * length, (cell + 1) * length
        touched = np.arange(low // CELLS, -(-high // CELLS))
        shares = np.minimum(high, (touched + 1) * CELLS) - np.maximum(low, touched * CELLS)
        sums.append(shares @ rows[touched[0] : touched[-1] + 1].astype(np.int64))
    return np.stack(sums)


def _cosines() -> Int64[np.ndarray, "frequencies cells"]:
    """The cosine transform's rows in whole numbers; rounded far from a half, so the same everywhere."""
    return np.array(
        [
            [
                round(COSINE_UNITS * cos(pi * frequency * (2 * cell + 1) / (2 * CELLS)) / (1 if frequency else sqrt(2)))
                for cell in range(CELLS)
            ]
            for frequency in range(FREQUENCIES)
        ],
        np.int64,
    )


def _lowest() -> tuple[Int64[np.ndarray, "bits"], Int64[np.ndarray, "bits"]]:
    """Rows and columns of the 64 lowest frequencies, the mean left out."""
    places = [(row, column) for row in range(FREQUENCIES) for column in range(FREQUENCIES)][1:]
    places.sort(key=lambda place: (max(place), place))
    rows, columns = np.array(places[:64]).T
    return rows, columns


_COSINES, _LOWEST = _cosines(), _lowest()
