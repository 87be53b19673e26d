"""The parts of a request, read and checked: photos, parsing maps, joints.

They come from strangers. Each reader below takes raw bytes or text and either returns arrays that the networks can be
fed with, or raises a `RequestError` that names the field, shows what was found and says what to send instead. Pixel
counts are read from the file's header, before a single pixel is decoded.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from spt_dist.body import Joint, Label
from spt_dist.joints import Keypoints, Pose, joint_name, load_json, parse_pose, pose_from_tree
from spt_dist.serve.orders import LabelMap, Pixels, RequestError, Source

# Framing widens the cut around a person to the networks' aspect: without this bound a thin strip of few pixels would be
# padded to gigabytes.
MAX_ASPECT = 4
JOINT_SLACK_PX = 1  # detectors put joints on the photo's very edge
LONGEST_POSE = 10_000  # characters, indented and to the last digit; more is not even parsed
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")


def read_image(content: bytes, *, max_pixels: int, field: str = "image") -> Pixels:
    """The photo as RGB [h, w, 3], turned upright by its EXIF data; `RequestError` names the field."""
    picture = _open(field, content, IMAGE_FORMATS, max_pixels)
    try:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError(field, f"is damaged or cut off ({error}); send the whole file") from None


def read_labels(content: bytes, *, max_pixels: int, field: str = "parsing") -> LabelMap:
    """The parsing map [h, w], values of `body.Label`; `RequestError` names the field.

    Palette PNGs give their indices, as drawing programs for label maps mean them.
    """
    picture = _open(field, content, ("PNG",), max_pixels)
    try:
        labels = np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError(field, f"is damaged or cut off ({error}); send the whole file") from None
    if labels.ndim != 2:
        raise RequestError(field, f"has {labels.shape[2]} channels; send one channel that holds the labels 0 to 9")
    outside = labels[(labels < 0) | (labels >= len(Label))]
    if outside.size:
        raise RequestError(field, f"label {int(outside[0])} is out of range; labels are 0 to {len(Label) - 1}")
    if not labels.any():
        raise RequestError(field, "is all background; somebody must be in the photo")
    return labels.astype(np.uint8)


def read_joints(field: str, text: str) -> Keypoints:
    """Joints [18, 3] = (x_px, y_px, visible), and the size (height, width) of their picture where the text says it.

    The form is that of `joints`; `RequestError` names the field when it is another.
    """
    _check_length(field, text, LONGEST_POSE)
    try:
        return parse_pose(text)
    except ValueError as error:
        raise RequestError(field, str(error)) from None


def read_poses(text: str, *, max_poses: int) -> list[Keypoints]:
    """A list of poses, each as `read_joints` takes it; `RequestError` says which is none."""
    _check_length("poses", text, max_poses * LONGEST_POSE)
    try:
        trees = load_json(text)
    except ValueError as error:
        raise RequestError("poses", str(error)) from None
    if not isinstance(trees, list) or not 1 <= len(trees) <= max_poses:
        found = f"{len(trees):,} poses" if isinstance(trees, list) else f"a JSON {type(trees).__name__}"
        raise RequestError("poses", f"holds {found}; give a list of 1 to {max_poses} poses")
    poses = []
    for index, tree in enumerate(trees):
        try:
            poses.append(pose_from_tree(tree))
        except ValueError as error:
            raise RequestError("poses", f"pose {index} {error}") from None
    return poses


def read_source(image: bytes, parsing: bytes, joints: str, *, max_pixels: int, prefix: str = "") -> Source:
    """A person: photo, parsing map, joints; `RequestError` names the field, `prefix` in front of it.

    Its status is 413 for too many pixels, else 422.
    """
    pose, _ = read_joints(f"{prefix or 'source_'}joints", joints)
    pixels = read_image(image, max_pixels=max_pixels, field=f"{prefix}image")
    labels = read_labels(parsing, max_pixels=max_pixels, field=f"{prefix}parsing")
    check_same_size(labels, pixels, f"{prefix}parsing", f"{prefix}image")
    _check_inside(f"{prefix or 'source_'}joints", pose, pixels)
    return Source(pixels, labels, pose)


def check_same_size(labels: np.ndarray, pixels: np.ndarray, field: str, photo: str) -> None:
    """Refuse a map that does not lie over its photo."""
    if labels.shape != pixels.shape[:2]:
        raise RequestError(
            field,
            f"is {_sides(labels)} (height x width) but `{photo}` is {_sides(pixels)}; every pixel of the photo needs "
            "its label (a photo turned by its EXIF data counts as it is shown)",
        )


def _check_length(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise RequestError(field, f"has {len(text):,} characters; {most:,} are more than enough, send less", 413)


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


def _check_inside(field: str, joints: Pose, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    limit = np.array((width, height)) - 1 + JOINT_SLACK_PX
    outside = (joints[:, 2] > 0) & ((joints[:, :2] < -JOINT_SLACK_PX) | (joints[:, :2] > limit)).any(1)
    for index in np.flatnonzero(outside):
        place = f"{joint_name(Joint(index))} lies at {joints[index, :2].tolist()}"
        raise RequestError(field, f"{place}, outside the photo of {width} x {height} px; send null for it")


def _sides(pixels: np.ndarray) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]}"
