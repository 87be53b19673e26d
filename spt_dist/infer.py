"""Inference: one person, one photo, any pose.

    predictor = Predictor.load("runs/demo/weights")
    person = read_person("photo.jpg", "photo.json", "parsing.png")
    wanted = read_keypoints("pose.json")
    drawn = predictor.generate(*person, wanted.joints, wanted.size)
    pictures.save(drawn.image, "out.png")

Pictures of any size are framed as the training data was (the card says how), drawn at the networks' size, and given
back at that size with the parsing map that H_S predicted.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import nn

from spt_dist import config
from spt_dist.body import MISSING, Joint, Label
from spt_dist.data.frame import FrameRule, frame, frame_joints
from spt_dist.data.importers import parse_keypoints
from spt_dist.data.schema import read_image, read_labels
from spt_dist.geometry import part_warps
from spt_dist.models.inputs import to_bytes, view
from spt_dist.models.weights import load_weights
from spt_dist.types import ImageBytes, Joints, LabelBytes, Parsing

# Callers' arrays: `check` says what is wrong with them, so no annotation does. uint8 [h, w, 3], uint8 [h, w], [18, 3].
ImageArray: TypeAlias = np.ndarray
LabelArray: TypeAlias = np.ndarray
JointArray: TypeAlias = np.ndarray


class Generated(NamedTuple):
    """What was drawn: `image` uint8 [h, w, 3] RGB, and the parsing map it was drawn from, `labels` uint8 [h, w]."""

    image: ImageArray
    labels: LabelArray


class Keypoints(NamedTuple):
    """Joints (x_px, y_px, visible), and the size (height, width) of their picture where the file says it."""

    joints: JointArray
    size: tuple[int, int] | None


class Predictor:
    """The trained generators, ready to draw."""

    def __init__(self, semantic: nn.Module, appearance: nn.Module, settings: config.Config, how: FrameRule = "person"):
        self.semantic, self.appearance = semantic.eval(), appearance.eval()
        self.settings = settings
        self.how: FrameRule = how
        self.size = settings.data.image_size
        self.device = next(appearance.parameters()).device

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Predictor":
        """Read the `weights` folder of a run.

        Raises:
            ValueError: it lacks a generator, or its files do not fit its card.
        """
        modules, card = load_weights(folder)
        if missing := {"semantic", "appearance"} - modules.keys():
            raise ValueError(f"`{folder}` lacks the weights of {sorted(missing)}; train both generators first")
        settings = config.from_tree(card["config"], source=f"{folder}/card.json")
        semantic, appearance = (modules[name].to(device) for name in ("semantic", "appearance"))
        return cls(semantic, appearance, settings, card.get("frame", "person"))

    def generate(
        self,
        image: ImageArray,
        labels: LabelArray,
        source_joints: JointArray,
        target_joints: JointArray,
        target_size: tuple[int, int] | None = None,
    ) -> Generated:
        """Draw the person of `image` with the pose of `target_joints`.

        `target_joints` are in px of a picture of `target_size` (height, width), by default the source's.

        Raises:
            ValueError: an argument has the wrong shape or values; the message names it.
        """
        return self.generate_batch([image], [labels], [source_joints], [target_joints], [target_size])[0]

    def generate_batch(
        self,
        images: Sequence[ImageArray],
        labels: Sequence[LabelArray],
        source_joints: Sequence[JointArray],
        target_joints: Sequence[JointArray],
        target_sizes: Sequence[tuple[int, int] | None] | None = None,
    ) -> list[Generated]:
        """`generate` for several people in one pass of the networks."""
        sizes = target_sizes or [None] * len(images)
        lengths = [len(column) for column in (images, labels, source_joints, target_joints, sizes)]
        if len(set(lengths)) > 1:
            names = "`images`, `labels`, `source_joints`, `target_joints` and `target_sizes`"
            raise ValueError(f"{names} hold {lengths} items; give as many of each, one per person")
        if not images:
            return []
        framed, wanted = [], []
        for image, parsing, source, target, size in zip(
            images, labels, source_joints, target_joints, sizes, strict=True
        ):
            check(image, parsing, source, target)
            if size is not None and not (len(size) == 2 and min(size) > 0):
                raise ValueError(f"`target_size` is {size}; give (height, width) in px, both positive")
            framed.append(frame(image, parsing, np.asarray(source, np.float32), self.size, self.how))
            picture = size or (image.shape[0], image.shape[1])
            wanted.append(self.frame_target(target, picture))
        columns = [*zip(*framed, strict=True), tuple(wanted)]
        source_image, source_labels, source, target = (torch.from_numpy(np.stack(c)).to(self.device) for c in columns)
        drawn, parsing = self.draw(source_image, source_labels, source, target)
        pairs = zip(to_bytes(drawn).cpu().numpy(), parsing.argmax(1).to(torch.uint8).cpu().numpy(), strict=True)
        return [Generated(*pair) for pair in pairs]

    def frame_target(self, joints: JointArray, picture: tuple[int, int]) -> JointArray:
        """The wanted joints in the networks' frame; `ValueError` when none of them is left in it."""
        framed = frame_joints(np.asarray(joints, np.float32), picture, self.size, self.how)
        if not framed[:, 2].any():
            raise ValueError(f"`target_joints` has no joint inside its picture of {picture} px; give `target_size`")
        return framed

    @torch.no_grad()
    def draw(
        self, images: ImageBytes, labels: LabelBytes, source_joints: Joints, target_joints: Joints
    ) -> tuple[torch.Tensor, Parsing]:
        """Framed batches on the device -> images [b 3 h w] in [-1, 1], and H_S's soft parsing [b 10 h w]."""
        sigma_px, networks = self.settings.data.heatmap_sigma_px, self.settings.networks
        source = view(images, labels, source_joints, sigma_px)
        target = view(images, labels, target_joints, sigma_px)
        warps = part_warps(target_joints, source_joints, self.size, networks.appearance.max_stretch)
        parsing = self.semantic(source.maps, target.heatmaps, warps).softmax(1)
        image = self.appearance(source.image, source.parsing, source.heatmaps, parsing, target.heatmaps, warps)
        return image, parsing


def check(image: Any, labels: Any, source_joints: Any, target_joints: Any) -> None:
    """Refuse what cannot be drawn from; `ValueError` names the argument, its value and what to give."""
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"`image` is {_describe(image)}; give uint8 RGB [h, w, 3]")
    if image.size == 0:
        raise ValueError(f"`image` is {_describe(image)} and holds no pixel; give uint8 RGB [h, w, 3]")
    if not (isinstance(labels, np.ndarray) and labels.dtype == np.uint8 and labels.shape == image.shape[:2]):
        raise ValueError(f"`labels` is {_describe(labels)}; give uint8 {list(image.shape[:2])}, the image's size")
    if (highest := int(labels.max())) >= len(Label):
        raise ValueError(f"`labels` holds {highest}; labels are 0 to {len(Label) - 1} (`body.Label`)")
    for name, joints in (("source_joints", source_joints), ("target_joints", target_joints)):
        if not (isinstance(joints, np.ndarray) and joints.shape == (len(Joint), 3)):
            raise ValueError(f"`{name}` is {_describe(joints)}; give [{len(Joint)}, 3]: x_px, y_px, visible")
        if not np.isfinite(joints).all():
            raise ValueError(f"`{name}` holds NaN or infinity; a missing joint is (-1, -1, 0)")
        if not (joints[:, 2] > 0).any():
            raise ValueError(f"`{name}` shows no joint; at least one must be visible")


def read_keypoints(path: str | Path) -> Keypoints:
    """Joints from a JSON file, or from a line of an annotation file, `FILE.csv:NAME`.

    The JSON is a list of 18 joints in the order of `body.Joint`, or an object `{"joints": [...], "size": [h, w]}`; a
    joint is `[x, y]`, `[x, y, visible]` or null.

    Raises:
        ValueError: the file is missing, or not of this form.
    """
    file, separator, name = str(path).rpartition(":")
    if separator and file.endswith(".csv"):
        return Keypoints(_annotated(Path(file), name), None)
    try:
        tree = json.loads(Path(path).read_text())
    except OSError as error:
        raise ValueError(f"cannot read the keypoints `{path}`: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"`{path}` is not JSON: {error}") from None
    rows, size = (tree.get("joints"), tree.get("size")) if isinstance(tree, dict) else (tree, None)
    if not isinstance(rows, list) or len(rows) != len(Joint):
        raise ValueError(f"`{path}` must hold a list of {len(Joint)} joints, [x, y, visible] or null each")
    try:
        joints = [MISSING if row is None else (*map(float, row), 1.0)[:3] for row in rows]
        array = np.array(joints, np.float32)
        array = np.where(array[:, 2:] > 0, array, np.array(MISSING, np.float32))
        return Keypoints(array, (int(size[0]), int(size[1])) if size else None)
    except (TypeError, ValueError, IndexError):
        raise ValueError(f"`{path}`: a joint is [x, y], [x, y, visible] or null, `size` is [height, width]") from None


def _annotated(path: Path, name: str) -> JointArray:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ValueError(f"cannot read the keypoints `{path}`: {error.strerror}") from None
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) == 3:
            return parse_keypoints(fields[1], fields[2], f"`{path}`, `{name}`")
    raise ValueError(f"`{path}` has no line for `{name}`; it holds `name:keypoints_y:keypoints_x`")


class Person(NamedTuple):
    """A photo with its parsing map and joints, in the order in which `Predictor.generate` takes them."""

    image: ImageArray
    labels: LabelArray
    joints: JointArray


def read_person(image: str | Path, keypoints: str | Path, parsing: str | Path) -> Person:
    """A person from files: a photo, its keypoints (`read_keypoints`), a PNG of labels; `ValueError` names a bad one."""
    photo = read_image(_bytes(image, "image"), str(image))
    labels = read_labels(_bytes(parsing, "parsing"), str(parsing))
    return Person(photo, labels, read_keypoints(keypoints).joints)


def _bytes(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the {what} `{path}`: {error.strerror}") from None


def _describe(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
