"""The parts of a request, read and checked; and the pictures that go back.

A request brings four things: a photo, its parsing map, the joints of the person in it, and the joints of the pose that
is wanted. They come from strangers. Each reader below takes raw bytes or text and either returns arrays that the
networks can be fed with, or raises a `RequestError` that names the field, shows what was found and says what to send
instead. Pixel counts are read from the file's header, before a single pixel is decoded.
"""

import base64
import io
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from spt_dist.body import Joint, Label
from spt_dist.joints import Pose, joint_name, parse_pose
from spt_dist.serve.schema import Drawn

# Framing widens the cut around a person to the networks' aspect: without this bound a thin strip of few pixels would be
# padded to gigabytes.
MAX_ASPECT = 4
JOINT_SLACK_PX = 1  # detectors put joints on the photo's very edge
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
JOINT_FIELDS = ("source_joints", "target_joints")

Pixels = UInt8[np.ndarray, "h w 3"]
LabelMap = UInt8[np.ndarray, "h w"]


class RequestError(ValueError):
    """A request that cannot be served: the HTTP status, the field at fault, and what to do."""

    def __init__(self, field: str, message: str, status: int = 422):
        super().__init__(f"`{field}`: {message}")
        self.field, self.message, self.status = field, message, status


class BusyError(RuntimeError):
    """The queue is full; the caller may try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1):
        super().__init__(f"the queue is full; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Order(NamedTuple):
    """A checked request: image [h, w, 3] and labels [h, w] uint8, joints [18, 3] float32 in px.

    The target's joints are in px of a picture of `target_size` (height, width), without it of the photo's size.
    """

    image: Pixels
    labels: LabelMap
    source_joints: Pose
    target_joints: Pose
    target_size: tuple[int, int] | None


def read_order(image: bytes, parsing: bytes, source_joints: str, target_joints: str, *, max_pixels: int) -> Order:
    """Check and decode the four parts of a request.

    Raises:
        RequestError: a part cannot be used; `field` names it, `status` is 413 for too many pixels, else 422.
    """
    source, _ = read_joints("source_joints", source_joints)
    target, target_size = read_joints("target_joints", target_joints)
    pixels = read_image(image, max_pixels=max_pixels)
    labels = read_labels(parsing, max_pixels=max_pixels)
    if labels.shape != pixels.shape[:2]:
        raise RequestError(
            "parsing",
            f"is {_sides(labels)} (height x width) but `image` is {_sides(pixels)}; every pixel of the photo needs "
            "its label (a photo turned by its EXIF data counts as it is shown)",
        )
    _check_inside(source, pixels)
    return Order(pixels, labels, source, target, target_size)


def read_image(content: bytes, *, max_pixels: int) -> Pixels:
    """The photo as RGB [h, w, 3], turned upright by its EXIF data; raises `RequestError` for the field `image`."""
    picture = _open("image", content, IMAGE_FORMATS, max_pixels)
    try:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError("image", f"is damaged or cut off ({error}); send the whole file") from None


def read_labels(content: bytes, *, max_pixels: int) -> LabelMap:
    """The parsing map [h, w], values of `body.Label`; raises `RequestError` for the field `parsing`.

    Palette PNGs give their indices, as drawing programs for label maps mean them.
    """
    picture = _open("parsing", content, ("PNG",), max_pixels)
    try:
        labels = np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError("parsing", f"is damaged or cut off ({error}); send the whole file") from None
    if labels.ndim != 2:
        raise RequestError("parsing", f"has {labels.shape[2]} channels; send one channel that holds the labels 0 to 9")
    outside = labels[(labels < 0) | (labels >= len(Label))]
    if outside.size:
        raise RequestError("parsing", f"label {int(outside[0])} is out of range; labels are 0 to {len(Label) - 1}")
    if not labels.any():
        raise RequestError("parsing", "is all background; somebody must be in the photo")
    return labels.astype(np.uint8)


def read_joints(field: str, text: str) -> tuple[Pose, tuple[int, int] | None]:
    """Joints [18, 3] = (x_px, y_px, visible), and the size (height, width) of their picture where the text says it.

    The form is that of `joints`; `RequestError` names the field when it is another.
    """
    try:
        return parse_pose(text)
    except ValueError as error:
        raise RequestError(field, str(error)) from None


def png(pixels: np.ndarray) -> bytes:
    """Pixels uint8 [h, w, 3], or labels uint8 [h, w], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def drawn(image: Pixels, labels: LabelMap) -> Drawn:
    """The JSON answer for a generated picture and its parsing map."""
    return Drawn(image=base64.b64encode(png(image)).decode(), parsing=base64.b64encode(png(labels)).decode())


def _open(field: str, content: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Read the header only, and refuse what would be too large to decode."""
    wanted = " or ".join(formats)
    if not content:
        raise RequestError(field, f"is empty; send a {wanted} file")
    try:
        picture = Image.open(io.BytesIO(content), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # far above any sensible limit
        raise RequestError(field, f"has far more than {max_pixels:,} pixels; send a smaller one", 413) from None
    except (OSError, SyntaxError, ValueError):
        raise RequestError(field, f"is not a readable {wanted} file ({len(content):,} bytes)") from None
    width, height = picture.size
    if width * height > max_pixels:
        raise RequestError(
            field, f"is {height} x {width} px; {max_pixels:,} pixels are allowed, send a smaller one", 413
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise RequestError(field, f"is {height} x {width} px, a strip; sides up to 1:{MAX_ASPECT} are allowed, cut it")
    return picture


def _check_inside(joints: Pose, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    limit = np.array((width, height)) - 1 + JOINT_SLACK_PX
    outside = (joints[:, 2] > 0) & ((joints[:, :2] < -JOINT_SLACK_PX) | (joints[:, :2] > limit)).any(1)
    for index in np.flatnonzero(outside):
        place = f"{joint_name(Joint(index))} lies at {joints[index, :2].tolist()}"
        raise RequestError("source_joints", f"{place}, outside the photo of {width} x {height} px; send null for it")


def _sides(pixels: np.ndarray) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]}"
