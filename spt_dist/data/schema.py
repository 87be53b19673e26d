"""One sample, spelled once: what it holds, its bytes in a shard, and the batch that it becomes.

In a shard a sample is four files with one stem: `jpg`, `parsing.png` (labels, one byte a pixel), `pose.npy` (joints)
and `json` (who it is). The same sample always has the same bytes. `pose.npy` is a NumPy file of version 1.0 whose
header is exactly `NPY_HEADER_BYTES` long and whose numbers are little-endian float32 in C order, so that a reader
without Python takes the bytes behind the header as they are.
"""

import io
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from spt_dist.body import FLIP_JOINTS, FLIP_LABELS, MISSING, Joint, Label
from spt_dist.pictures import JPEG_QUALITY
from spt_dist.types import ImageBytes, Joints, LabelBytes

SCHEMA_VERSION = 1
KEYS = ("jpg", "parsing.png", "pose.npy", "json")
NPY_HEADER_BYTES = 128
JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # markers before a picture's size: baseline, extended, progressive
_NPY_MAGIC = np.lib.format.magic(1, 0)
_SWAPPED = np.arange(256, dtype=np.uint8)  # by label, for mirrored maps
_SWAPPED[: len(FLIP_LABELS)] = FLIP_LABELS

ImageArray = UInt8[np.ndarray, "h w 3"]
LabelArray = UInt8[np.ndarray, "h w"]
JointArray = Float32[np.ndarray, "18 3"]


class DataError(ValueError):
    """Data that cannot be used; the message names the sample, file or folder and says what to do."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture of one person with its parsing map and joints.

    `image` is RGB; `joints` are (x_px, y_px, visible), a missing one (-1, -1, 0); `identity` names the person where the
    source knows it; `source` says where the picture came from.
    """

    id: str
    image: ImageArray
    labels: UInt8[np.ndarray, "rows columns"]  # as large as the image once `validate` has said so
    joints: JointArray
    identity: str | None = None
    source: str = ""
    split: str = "train"


class Batch(NamedTuple):
    """Samples as tensors: `images` uint8 [b, h, w, 3], `labels` uint8 [b, h, w], `joints` float32 [b, 18, 3]."""

    ids: list[str]
    images: ImageBytes
    labels: LabelBytes
    joints: Joints

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`; the copy does not wait where the memory is pinned."""
        return Batch(self.ids, *(tensor.to(device, non_blocking=True) for tensor in self[1:]))

    def flip(self, chosen: Bool[torch.Tensor, "b"]) -> "Batch":
        """Mirror the chosen samples: image, labels and joints together, left and right swapped by name."""
        width = self.images.shape[2]
        if self.images.device.type == "cpu":
            return self._flip_by_row(chosen)
        image, label = chosen[:, None, None, None], chosen[:, None, None]
        return Batch(
            self.ids,
            torch.where(image, self.images.flip(2), self.images),
            torch.where(label, flip_labels(self.labels), self.labels),
            torch.where(label, flip_joints(self.joints, width), self.joints),
        )

    def _flip_by_row(self, chosen: Bool[torch.Tensor, "b"]) -> "Batch":
        """The same by OpenCV, a tenth of the time on a processor."""
        images, labels = self.images.clone(), self.labels.clone()
        for row in chosen.nonzero()[:, 0].tolist():
            images[row] = torch.from_numpy(cv2.flip(images[row].numpy(), 1))
            labels[row] = torch.from_numpy(cv2.LUT(cv2.flip(labels[row].numpy(), 1), _SWAPPED))
        joints = torch.where(chosen[:, None, None], flip_joints(self.joints, self.images.shape[2]), self.joints)
        return Batch(self.ids, images, labels, joints)


class Pairs(NamedTuple):
    """Sources, and the other people whose poses they are to take: slot i of `target` never has the id of slot i."""

    source: Batch
    target: Batch


def flip_labels(labels: LabelBytes) -> LabelBytes:
    """Mirrored label maps, left and right limbs renamed."""
    swap = torch.tensor(FLIP_LABELS, dtype=torch.uint8, device=labels.device)
    return swap[labels.flip(2).long()]


def flip_joints(joints: Joints, width: int) -> Joints:
    """Joints of the mirrored picture of `width` px: x' = width - 1 - x where visible, left and right renamed."""
    swapped = joints[:, list(FLIP_JOINTS)]
    x, y, visible = swapped.unbind(-1)
    return torch.stack((torch.where(visible > 0, width - 1 - x, x), y, visible), dim=-1)


def fold_labels(labels: LabelBytes) -> UInt8[torch.Tensor, "bytes"]:
    """Label maps as they cross to a device: two pixels a byte, the first in the lower half."""
    pixels = labels.flatten()
    if pixels.numel() % 2:
        pixels = torch.cat([pixels, pixels.new_zeros(1)])
    return pixels[0::2] | pixels[1::2] << 4


def unfold_labels(folded: UInt8[torch.Tensor, "bytes"], shape: torch.Size) -> LabelBytes:
    """The label maps that `fold_labels` was given, of their shape [b h w]."""
    pixels = torch.stack([folded & 15, folded >> 4], dim=1).flatten()
    return pixels[: shape.numel()].view(shape)


def encode(sample: Sample) -> dict[str, bytes]:
    """The four files of a sample, by their key; JPEG of `JPEG_QUALITY` with full colour resolution."""
    jpeg = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, image = cv2.imencode(".jpg", cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), jpeg)
    _, labels = cv2.imencode(".png", sample.labels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    pose = io.BytesIO()
    np.lib.format.write_array(pose, np.ascontiguousarray(sample.joints, "<f4"), version=(1, 0), allow_pickle=False)
    assert pose.tell() == NPY_HEADER_BYTES + sample.joints.size * 4, "NumPy changed its header: readers would misread"
    about = {
        "id": sample.id,
        "source": sample.source,
        "size": list(sample.labels.shape),
        "split": sample.split,
        "identity": sample.identity,
    }
    text = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
    return dict(zip(KEYS, (image.tobytes(), labels.tobytes(), pose.getvalue(), text), strict=True))


def decode(files: dict[str, Any]) -> Sample:
    """The sample that `encode` wrote; further entries of `files` are ignored.

    Raises:
        DataError: a file is missing or cannot be decoded, or the sizes disagree.
    """
    about, joints = read_about(files), read_joints(files)
    name, size = about["id"], tuple(about["size"])
    image, labels = read_image(files["jpg"], f"{name}.jpg"), read_labels(files["parsing.png"], f"{name}.parsing.png")
    if not image.shape[:2] == labels.shape == size:
        raise DataError(f"`{name}`: image {image.shape[:2]}, labels {labels.shape} and `size` {size} disagree")
    return Sample(name, image, labels, joints, about["identity"], about["source"], about["split"])


def read_about(files: dict[str, Any]) -> dict[str, Any]:
    """What a sample's `json` says.

    Raises:
        DataError: `encode` did not write it, a file of the sample is absent, or a picture's header gives another size:
            a decoder would take time and memory for whatever a damaged header claims.
    """
    if missing := [key for key in KEYS if key not in files]:
        raise DataError(f"the sample has no `{'`, `'.join(missing)}`; pack the shards again")
    try:
        about = json.loads(files["json"])
        texts = [about["id"], about["source"], about["split"], about["identity"] or ""]
        numbers = [int(side) for side in about["size"]]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise DataError(f"the sample's `json` is broken ({error}); pack the shards again") from None
    if not all(isinstance(text, str) for text in texts) or len(numbers) != 2:
        raise DataError(f"the sample's `json` is broken ({str(about)[:80]}); pack the shards again")
    name, size = about["id"], (numbers[0], numbers[1])
    image, labels = _jpeg_size(files["jpg"]), _png_size(files["parsing.png"])
    if image is None:
        raise DataError(f"`{name}.jpg` is not an image that can be decoded ({len(files['jpg'])} bytes)")
    if labels is None:
        raise DataError(f"`{name}.parsing.png` is no whole PNG ({len(files['parsing.png'])} bytes)")
    if not image == labels == size:
        raise DataError(f"`{name}`: image {image}, labels {labels} and `size` {size} disagree")
    return about


def read_joints(files: dict[str, Any]) -> JointArray:
    """The joints of a sample; `DataError` unless they lie as `encode` writes them."""
    data = files["pose.npy"]
    if len(data) != NPY_HEADER_BYTES + len(Joint) * 3 * 4 or not data.startswith(_NPY_MAGIC):
        raise DataError(f"the sample's `pose.npy` is broken ({len(data)} bytes); pack the shards again")
    return np.frombuffer(data, "<f4", offset=NPY_HEADER_BYTES).reshape(len(Joint), 3).copy()


def read_image(data: bytes, name: str) -> ImageArray:
    """An RGB picture from the bytes of an image file; `DataError` when they are not one."""
    picture = _imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"`{name}` is not an image that can be decoded ({len(data)} bytes)")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def read_labels(data: bytes, name: str) -> LabelArray:
    """A label map from the bytes of a single-channel 8-bit PNG; `DataError` when they are not one."""
    labels = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if labels is None or labels.dtype != np.uint8 or labels.ndim != 2:
        found = "nothing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise DataError(f"`{name}` must be an 8-bit single-channel image of labels 0..{max(Label)}, found {found}")
    return labels


def validate(sample: Sample, min_joints: int = 0) -> None:
    """Check that the sizes agree, labels are in range, somebody is there, and joints are well formed and enough.

    Raises:
        DataError: with what is wrong; the sample's id is left to whoever lists it.
    """
    if sample.image.shape[:2] != sample.labels.shape:
        turned = "; map and joints must refer to the photo as it is shown, turned by its EXIF data"
        other = turned if sample.image.shape[1::-1] == sample.labels.shape else ""
        raise DataError(f"image is {sample.image.shape[:2]} px but labels are {sample.labels.shape}{other}")
    if (highest := int(sample.labels.max())) > max(Label):
        raise DataError(f"label {highest} is not one of 0..{int(max(Label))}")
    if highest == Label.BACKGROUND:
        raise DataError("the parsing map is all background")
    visible = sample.joints[:, 2] > 0
    if not np.isfinite(sample.joints).all() or not np.isin(sample.joints[:, 2], (0, 1)).all():
        raise DataError("joints must be finite (x, y, visible) with visible 0 or 1")
    if (sample.joints[~visible] != MISSING).any():
        raise DataError("a joint that is not visible must be (-1, -1, 0)")
    if visible.sum() < min_joints:
        raise DataError(f"{visible.sum()} of {len(Joint)} joints are visible, at least {min_joints} are asked for")


def collate(samples: list[Sample]) -> Batch:
    """Samples of one size as a batch on the CPU."""
    return Batch(
        [sample.id for sample in samples],
        torch.from_numpy(np.stack([sample.image for sample in samples])),
        torch.from_numpy(np.stack([sample.labels for sample in samples])),
        torch.from_numpy(np.stack([sample.joints for sample in samples])),
    )


def _imdecode(data: bytes, how: int) -> np.ndarray | None:
    """OpenCV's decoder without its exceptions: None for whatever is not an image."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:  # empty input
        return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that a JPEG's header claims, or None."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in JPEG_FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _png_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a PNG whose chunks fill it, or None: OpenCV takes memory for whatever a chunk claims."""
    at = 8
    while at + 12 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    if at != len(data) or at < 33:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
