"""Parsing maps in the formats of parsers."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from spt_dist.data.schema import DataError
from spt_dist.data.sources.label_maps import read_label_map

MAP = np.arange(12).reshape(3, 4) % 7


def palette(path):
    picture = Image.new("P", (4, 3))
    picture.putdata(MAP.ravel().tolist())
    picture.putpalette([value for colour in range(256) for value in (255 - colour, colour // 2, 7)])
    picture.save(path)


WRITERS = {
    "grey.png": lambda path: Image.fromarray(MAP.astype(np.uint8)).save(path),
    "palette.png": palette,
    "wide.png": lambda path: Image.fromarray(MAP.astype(np.uint16)).save(path),
    "three.png": lambda path: Image.fromarray(np.repeat(MAP[..., None], 3, 2).astype(np.uint8)).save(path),
    "bytes.npy": lambda path: np.save(path, MAP.astype(np.int8)),
    "long.npy": lambda path: np.save(path, MAP.astype(np.int64)),
    "float.npy": lambda path: np.save(path, MAP.astype(np.float32)),
    "batch.npy": lambda path: np.save(path, MAP[None]),
    "channel.npy": lambda path: np.save(path, MAP[..., None]),
    "one.mat": lambda path: savemat(path, {"anything": MAP.astype(np.uint8)}),
    "named.mat": lambda path: savemat(path, {"other": MAP + 1, "groundtruth": MAP.astype(np.uint8)}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_gives_the_classes(name, tmp_path):
    WRITERS[name](tmp_path / name)
    found = read_label_map(tmp_path / name)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, MAP)


BROKEN = {
    "gone.png": (None, "does not exist"),
    "noise.png": (lambda path: path.write_bytes(b"no picture"), "cannot be read"),
    "noise.npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01"), "cannot be read"),
    "noise.mat": (lambda path: path.write_bytes(b"MATLAB 5.0" * 30), "cannot be read"),
    "empty.mat": (lambda path: path.write_bytes(b""), "cannot be read"),
    "pickle.npy": (lambda path: np.save(path, np.array([{"a": 1}], object), allow_pickle=True), "cannot be read"),
    "colour.png": (
        lambda path: Image.fromarray(np.stack((MAP, MAP + 1, MAP), 2).astype(np.uint8)).save(path),
        "colour picture",
    ),
    "scores.npy": (lambda path: np.save(path, np.full((3, 4), 0.5)), "fractions"),
    "nan.npy": (lambda path: np.save(path, np.full((3, 4), np.nan)), "fractions"),
    "line.npy": (lambda path: np.save(path, np.arange(4)), r"int64 \(4,\)"),
    "two.mat": (lambda path: savemat(path, {"a": MAP, "b": MAP}), r"\['a', 'b'\]"),
    "word.mat": (lambda path: savemat(path, {"a": "text"}), "class numbers"),
    "map.gif": (lambda path: path.write_bytes(b"GIF"), "endings are .png"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_map_is_named(name, tmp_path):
    make, message = BROKEN[name]
    if make:
        make(tmp_path / name)
    with pytest.raises(DataError, match=message) as raised:
        read_label_map(tmp_path / name)
    assert name in str(raised.value)


def test_the_published_demo_has_both_kinds_of_npy(data):
    for name, labels in (("2_A", {0, 1, 2, 3, 4, 6, 7}), ("3_B", {0, 2, 3, 4, 6, 7, 8})):
        found = read_label_map(data / "spt_demo" / "parsing" / f"{name}.npy")
        assert found.shape == (256, 256)
        assert set(np.unique(found).tolist()) == labels
