"""People and poses from files and from callers: what `infer.Predictor` draws from, read and checked.

A person is a photo with its parsing map and joints. Three ways to name one on a command line: `FOLDER:NAME`, a picture
of a folder in the importers' layout (`img/`, `parsing/`, `keypoints.csv`); `IMAGE,KEYPOINTS,PARSING`, three files; or
`IMAGE` alone. What is not given of a person is annotated, by the annotator that `annotate.choice` opens. A pose is a
JSON file (`joints` says of what form) or `FOLDER:NAME` or `ANNOTATION.csv:NAME`; a sequence is a JSON list of poses.
"""

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from spt_dist.annotate.annotation import Annotation
from spt_dist.annotate.choice import BOX, open_annotator
from spt_dist.body import Joint, Label
from spt_dist.data.importers import parse_keypoints
from spt_dist.data.photos import read_map, read_photo
from spt_dist.data.schema import DataError
from spt_dist.data.sources.names import PHOTO_ENDINGS
from spt_dist.joints import Keypoints, load_json, parse_pose, pose_from_tree

# Callers' arrays: `check` says what is wrong with them, so no annotation does. uint8 [h, w, 3], uint8 [h, w], [18, 3].
ImageArray: TypeAlias = np.ndarray
LabelArray: TypeAlias = np.ndarray
JointArray: TypeAlias = np.ndarray


class Person(NamedTuple):
    """A photo with its parsing map and joints, in the order in which `Predictor.generate` takes them."""

    image: ImageArray
    labels: LabelArray
    joints: JointArray


def read_person(
    image: str | Path, keypoints: str | Path | None = None, parsing: str | Path | None = None, models: str = BOX
) -> Person:
    """A person from files: a photo, its keypoints (`read_keypoints`), a PNG of labels.

    What is not given `models` find in the photo: `box`, or the TOML of one's own.

    Raises:
        ValueError: it names the file that cannot be used, or the photo in which nobody was found.
    """
    photo = read_photo(_bytes(image, "image"), str(image))
    labels = read_parsing(parsing) if parsing else None
    joints = read_keypoints(keypoints).joints if keypoints else None
    if labels is None or joints is None:
        found = _annotate(photo, image, models)
        labels, joints = found.labels if labels is None else labels, found.joints if joints is None else joints
    return Person(photo, labels, joints)


def read_pose(image: str | Path, models: str = BOX) -> Keypoints:
    """The pose of the person in a photo, as `models` find it; `ValueError` as for `read_person`."""
    photo = read_photo(_bytes(image, "image"), str(image))
    return Keypoints(_annotate(photo, image, models).joints, (photo.shape[0], photo.shape[1]))


def find_person(words: str, models: str = BOX) -> Person:
    """A person by `FOLDER:NAME`, by `IMAGE,KEYPOINTS,PARSING`, or by `IMAGE`, which `models` annotate.

    Raises:
        ValueError: it is none of these, or a file is missing or unusable.
    """
    if Path(words).is_file():
        return read_person(words, models=models)
    files = words.split(",")
    if len(files) == 3:
        return read_person(*files)
    folder, separator, name = words.rpartition(":")
    if not separator or len(files) != 1:
        raise ValueError(f"`{words}` names no person; write FOLDER:NAME, IMAGE,KEYPOINTS,PARSING, or a photo's path")
    root, photo = Path(folder), _photo(Path(folder), name)
    return read_person(photo, f"{root}/keypoints.csv:{photo.name}", root / "parsing" / f"{photo.stem}.png")


def read_parsing(path: str | Path) -> LabelArray:
    """A parsing map, a PNG of labels 0 to 9; `ValueError` names a file that is none."""
    return read_map(_bytes(path, "parsing"), str(path))


def read_keypoints(path: str | Path) -> Keypoints:
    """Joints from a JSON file, from a folder's picture, `FOLDER:NAME`, or from a line of `ANNOTATION.csv:NAME`.

    The JSON is a list of 18 joints in the order of `body.Joint`, or an object `{"joints": [...], "size": [h, w]}`; a
    joint is `[x, y]`, `[x, y, visible]` or null.

    Raises:
        ValueError: the file is missing, or not of this form.
    """
    folder, separator, name = str(path).rpartition(":")
    if separator and folder.endswith(".csv"):
        return Keypoints(_annotated(Path(folder), name), None)
    if separator and Path(folder).is_dir():
        photo = _photo(Path(folder), name)
        size = read_photo(_bytes(photo, "image"), str(photo)).shape[:2]
        return Keypoints(_annotated(Path(folder) / "keypoints.csv", photo.name), size)
    text = _bytes(path, "keypoints").decode(errors="replace")
    try:
        return parse_pose(text)
    except ValueError as error:
        raise ValueError(f"`{path}` {error}") from None


def read_sequence(path: str | Path) -> list[Keypoints]:
    """Poses from one JSON file: a list of what `read_keypoints` takes; `ValueError` names a bad entry."""
    text = _bytes(path, "poses").decode(errors="replace")
    try:
        trees = load_json(text)
    except ValueError as error:
        raise ValueError(f"`{path}` {error}") from None
    if not isinstance(trees, list) or not trees:
        raise ValueError(f"`{path}` holds a JSON {type(trees).__name__} without poses; give a list of poses")
    poses = []
    for number, tree in enumerate(trees):
        try:
            poses.append(pose_from_tree(tree))
        except ValueError as error:
            raise ValueError(f"`{path}`, pose {number}: {error}") from None
    return poses


def check(image: Any, labels: Any, source_joints: Any, target_joints: Any) -> None:
    """Refuse what cannot be drawn from; `ValueError` names the argument, its value and what to give."""
    check_picture(image, labels)
    check_joints("source_joints", source_joints)
    check_joints("target_joints", target_joints)


def check_picture(image: Any, labels: Any) -> None:
    """Refuse a photo or a parsing map that is none, or that do not fit each other."""
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"`image` is {_describe(image)}; give uint8 RGB [h, w, 3]")
    if image.size == 0:
        raise ValueError(f"`image` is {_describe(image)} and holds no pixel; give uint8 RGB [h, w, 3]")
    if not (isinstance(labels, np.ndarray) and labels.dtype == np.uint8 and labels.shape == image.shape[:2]):
        raise ValueError(f"`labels` is {_describe(labels)}; give uint8 {list(image.shape[:2])}, the image's size")
    if (highest := int(labels.max())) >= len(Label):
        raise ValueError(f"`labels` holds {highest}; labels are 0 to {len(Label) - 1} (`body.Label`)")


def check_joints(name: str, joints: Any) -> None:
    """Refuse joints that are no pose; `name` is the argument's."""
    if not (isinstance(joints, np.ndarray) and joints.shape == (len(Joint), 3)):
        raise ValueError(f"`{name}` is {_describe(joints)}; give [{len(Joint)}, 3]: x_px, y_px, visible")
    if not np.isfinite(joints).all():
        raise ValueError(f"`{name}` holds NaN or infinity; a missing joint is (-1, -1, 0)")
    if not (joints[:, 2] > 0).any():
        raise ValueError(f"`{name}` shows no joint; at least one must be visible")


def _annotate(photo: ImageArray, name: str | Path, models: str) -> Annotation:
    try:
        return open_annotator(models).annotate(photo)
    except DataError as error:
        raise ValueError(f"`{name}` cannot be annotated: {error}") from None


def _photo(folder: Path, name: str) -> Path:
    """The folder's photo of that name, given with or without its ending."""
    for photo in (folder / "img" / name, *(folder / "img" / f"{name}{ending}" for ending in PHOTO_ENDINGS)):
        if photo.is_file():
            return photo
    raise ValueError(f"`{folder}/img` has no photo `{name}`; its list files name those that it has")


def _annotated(path: Path, name: str) -> JointArray:
    for line in _bytes(path, "keypoints").decode(errors="replace").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) == 3:
            return parse_keypoints(fields[1], fields[2], f"`{path}`, `{name}`")
    raise ValueError(f"`{path}` has no line for `{name}`; it holds `name:keypoints_y:keypoints_x`")


def _bytes(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the {what} `{path}`: {error.strerror}") from None


def _describe(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
