"""Each part of a request: what is read from it, and what is refused under which name."""

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from spt_dist import config
from spt_dist.provenance import encode
from spt_dist.serve.operations import read_pose
from spt_dist.serve.orders import RequestError
from spt_dist.serve.request import read_image, read_joints, read_labels

MAX_PIXELS = 2_000
SIZE = (12, 7)  # of the fixtures


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def order_of(parts):
    (order,) = read_pose(parts, config.Serve(max_pixels=MAX_PIXELS))
    return order


def refusal(call, *arguments, **options) -> RequestError:
    with pytest.raises(RequestError) as caught:
        call(*arguments, **options)
    return caught.value


def test_good_request_gives_its_numbers(parts, pixels, labels, joints):
    order = order_of(parts)
    np.testing.assert_array_equal(order.source.image, pixels)
    np.testing.assert_array_equal(order.source.labels, labels)
    np.testing.assert_array_equal(order.source.joints[:-1], np.float32(joints[:-1]))
    np.testing.assert_array_equal(order.source.joints[-1], [-1, -1, 0])
    np.testing.assert_array_equal(order.target_joints, order.source.joints)
    assert order.target_size == (24, 14)


def test_joints_without_visibility_are_visible_and_invisible_ones_are_missing():
    read, size = read_joints("target_joints", json.dumps([[3, 4]] + [[5, 6, 0]] * 17))
    np.testing.assert_array_equal(read, [[3, 4, 1]] + [[-1, -1, 0]] * 17)
    assert size is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photo_formats(kind, pixels):
    grey = np.full_like(pixels, 90)
    np.testing.assert_allclose(read_image(encoded(grey, kind), max_pixels=MAX_PIXELS), grey, atol=2)


def test_photo_is_turned_upright_by_its_exif_data(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    upright = read_image(encoded(pixels, "PNG", exif=exif), max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))


def test_grey_photo_and_photo_with_alpha(pixels):
    grey, alpha = pixels[..., 0], np.dstack([pixels, pixels[..., :1]])
    np.testing.assert_array_equal(read_image(encoded(grey), max_pixels=MAX_PIXELS), np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_image(encoded(alpha), max_pixels=MAX_PIXELS), pixels)


def test_palette_parsing_gives_its_indices(labels):
    picture = Image.fromarray(labels, "L").convert("P")
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([value for index in range(10) for value in (255 - index, index * 20, 7)])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    np.testing.assert_array_equal(read_labels(buffer.getvalue(), max_pixels=MAX_PIXELS), labels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_photo(kind, kept):
    content = encoded(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8), kind)
    error = refusal(read_image, content[: int(len(content) * kept)], max_pixels=MAX_PIXELS)
    assert (error.field, error.status) == ("image", 422)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(40)])
@pytest.mark.parametrize(("read", "field"), [(read_image, "image"), (read_labels, "parsing")])
def test_not_a_picture(read, field, content):
    error = refusal(read, content, max_pixels=MAX_PIXELS)
    assert (error.field, error.status) == (field, 422)


@pytest.mark.parametrize("side", [45, 12_000, 30_000])
def test_too_many_pixels_are_refused_from_the_header_alone(side):
    one_pixel = encoded(np.zeros((1, 1), np.uint8))
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + one_pixel[24:29]
    content = one_pixel[:12] + header + zlib.crc32(header).to_bytes(4, "big") + one_pixel[33:]
    for read, field in ((read_image, "image"), (read_labels, "parsing")):
        error = refusal(read, content, max_pixels=MAX_PIXELS)
        assert (error.field, error.status) == (field, 413)
        assert f"{MAX_PIXELS:,}" in error.message


def test_strips_are_refused():
    assert refusal(read_image, encoded(np.zeros((2, 9, 3), np.uint8)), max_pixels=MAX_PIXELS).field == "image"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full(SIZE, 10, np.uint8), "label 10"),
        (np.full((*SIZE, 3), 1, np.uint8), "3 channels"),
        (np.full(SIZE, 300, np.uint16), "label 300"),
        (np.zeros(SIZE, np.uint8), "background"),
    ],
)
def test_bad_parsing(labels, words):
    error = refusal(read_labels, encoded(labels), max_pixels=MAX_PIXELS)
    assert error.field == "parsing"
    assert words in error.message


def test_parsing_of_another_size_names_both(parts):
    parts["parsing"] = encoded(np.ones((7, 12), np.uint8))
    error = refusal(order_of, parts)
    assert error.field == "parsing"
    assert "7 x 12" in error.message
    assert "12 x 7" in error.message


ROW = [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 10_000, "not JSON"),
        ("7", "a JSON int"),
        ('{"size": [1, 2]}', "a JSON dict"),
        (json.dumps([ROW] * 17), "17 joints"),
        (json.dumps([ROW] * 19), "19 joints"),
        (json.dumps([None] * 18), "no visible joint"),
        (json.dumps([[1, 2, 0]] * 18), "no visible joint"),
        (json.dumps([ROW] * 17 + [[float("nan"), 2, 1]]), "joint 17 (r_ear)"),
        (json.dumps([[1, float("inf"), 1]] + [ROW] * 17), "joint 0 (nose)"),
        (json.dumps([[1e9, 1, 1]] + [ROW] * 17), "joint 0 (nose)"),
        ("[[" + "9" * 400 + ",1,1]" + ",null" * 17 + "]", "joint 0 (nose)"),
        (json.dumps([[1, 2, 0.5]] + [ROW] * 17), "visible = 0.5"),
        (json.dumps([["1", 2, 1]] + [ROW] * 17), "joint 0 (nose)"),
        (json.dumps([[1]] + [ROW] * 17), "joint 0 (nose)"),
        (json.dumps([5] + [ROW] * 17), "joint 0 (nose)"),
        (json.dumps({"joints": [ROW] * 18, "size": [0, 4]}), "size = [0, 4]"),
        (json.dumps({"joints": [ROW] * 18, "size": "big"}), 'size = "big"'),
        (json.dumps({"joints": [ROW] * 18, "size": [1.5, 2]}), "size = [1.5, 2]"),
    ],
)
def test_bad_joints(text, words):
    error = refusal(read_joints, "target_joints", text)
    assert (error.field, error.status) == ("target_joints", 422)
    assert words in error.message
    assert len(error.message) < 250


@pytest.mark.parametrize("outside", [[-1.5, 2, 1], [SIZE[1] + 0.5, 2, 1], [2, SIZE[0] + 0.5, 1]])
def test_source_joint_outside_the_photo(parts, joints, outside):
    parts["source_joints"] = json.dumps([*joints[:4], outside, *joints[5:]])
    error = refusal(order_of, parts)
    assert error.field == "source_joints"
    assert "joint 4 (r_wrist)" in error.message


def test_target_joints_may_lie_outside_the_photo(parts, joints):
    parts["target_joints"] = json.dumps([[500, 600, 1], *joints[1:]])
    np.testing.assert_array_equal(order_of(parts).target_joints[0], [500, 600, 1])


def test_png_round_trip(pixels, labels):
    np.testing.assert_array_equal(read_image(encode(pixels, "png"), max_pixels=MAX_PIXELS), pixels)
    np.testing.assert_array_equal(read_labels(encode(labels, "png"), max_pixels=MAX_PIXELS), labels)
