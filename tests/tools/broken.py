"""Photos in all forms, and a folder of people in the importers' layout, whose parts a test can break."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from spt_dist.data.schema import Sample

SIZE = (24, 16)
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
ORIENTATION = 0x0112
# What a viewer does to the stored picture, by EXIF's number; `STORE` is its inverse.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
INVERSE = {Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}


def write_folder(folder: Path, samples: list[Sample], photo: str = "jpg") -> Path:
    """The samples as `img/`, `parsing/`, `keypoints.csv` and `train.txt`."""
    for part in ("img", "parsing"):
        (folder / part).mkdir(parents=True)
    lines, names = ["name:keypoints_y:keypoints_x"], []
    for sample in samples:
        names.append(f"{sample.id}.{photo}")
        bgr = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
        assert cv2.imwrite(str(folder / "img" / names[-1]), bgr)
        assert cv2.imwrite(str(folder / "parsing" / f"{sample.id}.png"), sample.labels)
        lines.append(line_of(names[-1], sample.joints))
    (folder / "keypoints.csv").write_text("\n".join(lines) + "\n")
    (folder / "train.txt").write_text("\n".join(names) + "\n")
    return folder


def line_of(name: str, joints: np.ndarray) -> str:
    """A line of `keypoints.csv`."""
    return f"{name}:{json.dumps(joints[:, 1].tolist())}:{json.dumps(joints[:, 0].tolist())}"


def saved(picture, kind="PNG", **options):
    """A picture's file."""
    buffer = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(upright, number, kind="PNG"):
    """The file of a picture that EXIF's `number` turns upright."""
    exif, turn = Image.Exif(), TURNS[number]
    exif[ORIENTATION] = number
    return saved(Image.fromarray(upright).transpose(INVERSE.get(turn, turn)), kind, exif=exif)


def blocks(mode="RGB"):
    """Four flat colours, 24x16."""
    colours = np.array([[[200, 30, 60], [0, 90, 255]], [[255, 255, 255], [8, 120, 16]]], np.uint8)
    return Image.fromarray(np.kron(colours, np.ones((12, 8, 1), np.uint8))).convert(mode)


def moving(kind):
    """A file of two pictures."""
    return saved(blocks(), kind, save_all=True, append_images=[blocks().transpose(Image.Transpose.ROTATE_180)])


def deep_map(high):
    """A map of 16 bits."""
    return saved(np.full(SIZE, high, np.uint16))


def grey_of_16_bits():
    """The four blocks in grey, lower bytes that do not count."""
    return saved((np.asarray(blocks("L")).astype(np.uint16) << 8) + 77)


PALETTE = blocks().quantize(8)
# Name -> file, the mode whose RGB it must become, and the largest difference that its coding may make.
RULES = {
    "PNG": (lambda: saved(blocks()), "RGB", 0),
    "WebP": (lambda: saved(blocks(), "WEBP", lossless=True), "RGB", 0),
    "BMP": (lambda: saved(blocks(), "BMP"), "RGB", 0),
    "JPEG": (lambda: saved(blocks(), "JPEG", quality=100, subsampling=0), "RGB", 3),
    "CMYK": (lambda: saved(blocks("CMYK"), "JPEG", quality=100, subsampling=0), "RGB", 6),
    "grey": (lambda: saved(blocks("L")), "L", 0),
    "grey of 16 bits": (grey_of_16_bits, "L", 0),
    "black and white": (lambda: saved(blocks("1")), "1", 0),
    "palette": (lambda: saved(PALETTE), "RGB", 0),
    "palette with transparency": (lambda: saved(PALETTE, transparency=bytes([0, 9, 200])), "RGB", 0),
    "transparent": (lambda: saved(np.dstack((np.asarray(blocks()), np.zeros(SIZE, np.uint8)))), "RGB", 0),
    "two pictures in a JPEG": (
        lambda: saved(blocks(), "MPO", save_all=True, append_images=[blocks("L")], quality=100, subsampling=0),
        "RGB", 3,
    ),
}  # fmt: skip
