"""A crop and its way back: exact in px, whatever the shapes, also beyond the photo's edge."""

import numpy as np
import pytest

from spt_dist.annotate.crop import clip, view, whole
from spt_dist.data.schema import DataError

BOXES = [(3, 2, 40, 60), (-5, -9, 10, 30), (50, 20, 88, 70), (0, 0, 90, 70), (7, 7, 7, 7)]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("size", [(256, 192), (33, 47), (16, 16)])
def test_points_come_back_to_where_they_were(box, size):
    seen = view(tuple(map(float, box)), size)
    top, left, height, width = seen.window
    corners = np.array([(-0.5, -0.5), (size[1] - 0.5, size[0] - 0.5)])
    np.testing.assert_allclose(
        seen.to_photo(corners), [(left - 0.5, top - 0.5), (left + width - 0.5, top + height - 0.5)]
    )
    middle = seen.to_photo(np.array([(size[1] - 1) / 2, (size[0] - 1) / 2]))
    np.testing.assert_allclose(middle, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), atol=1)
    assert height >= 1.25 * (box[3] - box[1] + 1) - 1
    assert width >= 1.25 * (box[2] - box[0] + 1) - 1
    assert abs(width - height * size[1] / size[0]) <= 1 + size[1] / size[0]


@pytest.mark.parametrize("size", [(40, 30), (80, 60), (20, 15)])
def test_a_bright_px_is_seen_where_the_rule_says(size):
    for x, y in ((10, 5), (33, 41)):
        photo = np.zeros((61, 44, 3), np.uint8)
        photo[y : y + 4, x : x + 4] = 255  # a block, whose centroid survives any resizing
        seen = view((5.0, 2.0, 40.0, 50.0), size)
        picture = seen.picture(photo, (0.0, 0.0, 0.0))[..., 0].astype(float)
        rows, columns = np.indices(picture.shape)
        found = np.array([(picture * columns).sum(), (picture * rows).sum()]) / picture.sum()
        np.testing.assert_allclose(seen.to_photo(found), (x + 1.5, y + 1.5), atol=0.1 * max(1, 63 / size[0]))


def test_beyond_the_edge_is_the_declared_colour():
    seen = view((-20.0, 0.0, 9.0, 29.0), (30, 30), 1.0)
    picture = seen.picture(np.full((30, 10, 3), 200, np.uint8), (9.0, 8.0, 7.0))
    assert (picture[:, :20] == (9, 8, 7)).all()
    assert (picture[:, 20:] == 200).all()


def test_labels_of_an_unscaled_crop_are_the_models_own():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 5, (30, 20))
    seen = view((4.0, 5.0, 23.0, 34.0), (30, 20), 1.0)
    wanted = np.zeros((33, 22), int)
    wanted[5:33, 4:22] = classes[:28, :18]
    np.testing.assert_array_equal(seen.map_on_photo(classes, (33, 22)), wanted)
    scores = (classes == np.arange(5)[:, None, None]).astype(np.float32)
    np.testing.assert_array_equal(seen.classes_on_photo(scores, (33, 22)), wanted)


@pytest.mark.parametrize("shrunk", [1, 2, 4])
def test_an_edge_between_classes_stays_where_it_is(shrunk):
    seen = view((0.0, 0.0, 79.0, 79.0), (80, 80), 1.0)
    scores = np.stack([np.tile(np.clip(sign * (np.arange(80) - 32.5), -6, 6), (80, 1)) for sign in (-1, 1)])
    scores = scores.reshape(2, 80 // shrunk, shrunk, 80 // shrunk, shrunk).mean((2, 4))
    found = seen.classes_on_photo(scores.astype(np.float32), (80, 80))
    assert (found[:, :33] == 0).all()
    assert (found[:, 33:] == 1).all()


def test_boxes_are_clipped_to_the_photo():
    photo = np.zeros((20, 10, 3), np.uint8)
    assert clip((-4.0, 3.0, 30.0, 25.0), photo) == (0.0, 3.0, 9.0, 19.0)
    assert whole(photo) == (0.0, 0.0, 9.0, 19.0)


def test_a_crop_of_gigabytes_is_refused():
    with pytest.raises(DataError, match="cut the photo"):
        view((0.0, 0.0, 60_000.0, 3.0), (256, 192))
