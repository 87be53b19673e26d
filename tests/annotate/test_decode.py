"""Peaks between cells, against Gaussians whose middle is known."""

import numpy as np
import pytest

from spt_dist.annotate.decode import from_heatmaps, from_simcc

XY = np.array([(20.0, 30.0), (10.3, 50.75), (31.6, 8.2), (5.49, 5.51)])


def logarithm(middle, count, sigma):
    return -((np.arange(count) - middle[:, None]) ** 2) / (2 * sigma**2)


def gaussian(*form):
    return np.exp(logarithm(*form))


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_simcc_is_read_between_bins(ratio):
    x, y = (gaussian(ratio * XY[:, axis], int(ratio * side), 3) for axis, side in ((0, 48), (1, 64)))
    found = from_simcc(0.8 * x, 0.5 * y, ratio)
    np.testing.assert_allclose(found[:, :2], XY, atol=0.01 / ratio)
    np.testing.assert_allclose(found[:, 2], 0.5, rtol=0.02)
    logits = (logarithm(ratio * XY[:, axis], int(ratio * side), 3) for axis, side in ((0, 48), (1, 64)))
    as_logits = from_simcc(*logits, ratio)
    np.testing.assert_allclose(as_logits[:, :2], XY, atol=1e-9)


@pytest.mark.parametrize("align", ["origin", "centres", "ends"])
def test_heat_maps_are_read_between_cells_by_their_alignment(align):
    size, (height, width) = (64, 48), (16, 12)
    cells = {
        "origin": XY / 4,
        "centres": (XY + 0.5) / 4 - 0.5,
        "ends": XY * (np.array((width, height)) - 1) / (np.array((48, 64)) - 1),
    }[align]
    maps = gaussian(cells[:, 1], height, 2)[:, :, None] * gaussian(cells[:, 0], width, 2)[:, None]
    found = from_heatmaps(0.7 * maps, size, align)
    np.testing.assert_allclose(found[:, :2], XY, atol=0.15)
    np.testing.assert_allclose(found[:, 2], 0.7, rtol=0.1)


def test_edges_and_plateaus_have_no_neighbour_to_ask():
    rows = np.array([[1.0, 0.5, 0, 0], [0, 0, 0.5, 1], [1, 1, 1, 1], [0, 1, 1, 0]])
    found = from_simcc(rows, rows, 1.0)
    np.testing.assert_allclose(found[:, 0], [0, 3, 0, 1.5])
