"""Photos and maps in the forms that people keep them in."""

import cv2
import numpy as np
import pytest
from broken import NOISE, RULES, TURNS, blocks, saved, turned
from PIL import Image

from spt_dist.data import photos
from spt_dist.data.photos import read_map, read_photo
from spt_dist.data.schema import DataError


@pytest.mark.parametrize("what", RULES)
def test_other_forms_become_rgb_by_the_stated_rule(what):
    make, mode, tolerance = RULES[what]
    found = read_photo(make(), "a")
    wanted = np.asarray(blocks(mode).convert("RGB")).astype(int)
    assert found.dtype == np.uint8
    assert np.abs(found - wanted).max() <= tolerance


def test_deep_colours_keep_their_upper_byte():
    """Pillow writes no RGB of 16 bits; OpenCV does."""
    deep = (np.asarray(blocks()).astype(np.uint16) << 8) + 200
    _, content = cv2.imencode(".png", deep[..., ::-1])
    np.testing.assert_array_equal(read_photo(content.tobytes(), "a"), np.asarray(blocks()))


def test_maps_may_have_a_palette_or_16_bits(person):
    labels = person("a", 1).labels
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette([value for colour in range(256) for value in (255 - colour, colour, 7)])
    np.testing.assert_array_equal(read_map(saved(palette), "a"), np.asarray(palette))
    np.testing.assert_array_equal(read_map(saved(labels.astype(np.uint16)), "a"), labels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("number", TURNS)
def test_a_photo_is_turned_upright(number, kind):
    upright = np.asarray(blocks())
    found = read_photo(turned(upright, number, kind), "a")
    assert found.shape == upright.shape
    assert np.abs(found[4::16, 4::8].astype(int) - upright[4::16, 4::8]).max() <= 12


def test_header_comes_before_pixels(monkeypatch):
    """What is refused for its size is not decoded."""
    monkeypatch.setattr(photos, "MOST_PIXELS", 24 * 16 - 1)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("pixels were decoded"))
    with pytest.raises(DataError, match="is 24 x 16 px; 383 pixels are allowed"):
        read_photo(saved(NOISE), "a")
