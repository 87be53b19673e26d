"""Our own annotator: one small network of the box looks at a photo twice, whole and then cut to the person it found.

Both looks are frames by the rule of `data.frame`, of the network's size: the photo is padded by repeating its outermost
pixels, never squeezed. The first look gives a box, round the joints that are seen and the parsing map's person. The
second look is at the frame round that box, and at its mirror image, whose answer is turned back and averaged in. What
it gives goes back to the photo's px: joints by the frame's own scale, labels as the likeliest of the logits, enlarged
between pixels, less islands in which no joint was seen. So there is one person to a photo, the one of the first look.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from spt_dist import box
from spt_dist.annotate.annotation import Annotation, nobody
from spt_dist.body import FLIP_JOINTS, FLIP_LABELS, MISSING, Joint, Label
from spt_dist.config import from_tree
from spt_dist.data.frame import FrameRule, Window, frame, window
from spt_dist.data.schema import ImageArray, JointArray, LabelArray
from spt_dist.models.annotator import heatmap_peaks, seen_joints
from spt_dist.models.blocks import prepare
from spt_dist.models.inputs import Maps, to_float, to_labels
from spt_dist.models.weights import CARD, load_weights

NAME = "annotator"
FEWEST_JOINTS = 4  # of a person; with fewer in the first look the parsing map says where to look
SMALLEST_PERSON = 0.005  # of the frame's pixels, for the parsing map to say so
RIM = 0.1  # of the longer side of the map's person: how far inside of it joints lie
FINEST = 8  # labels are told this many times finer than the network's pixels; nearest beyond


class Look(NamedTuple):
    """What one look at a frame of the photo gives, in px of the photo; labels and logits are of the frame."""

    joints: JointArray
    confidence: np.ndarray
    logits: Tensor
    frame: Window


class OwnAnnotator:
    """The annotator of the box, or of a run's `weights`; see `annotation.Annotator`."""

    def __init__(self, network: nn.Module, size: tuple[int, int], digest: str) -> None:
        self.network, self.size = network, size
        self.name = f"spt-dist annotator {digest[:12]}"

    @classmethod
    def load(cls, folder: Path | None = None) -> "OwnAnnotator":
        """Read a folder of weights with an annotator; by default the box's.

        Raises:
            ValueError: it has none, or its files do not fit its card.
        """
        folder = folder or box.ANNOTATOR
        modules, card = load_weights(folder)
        settings = from_tree(card["config"], source=f"{folder}/{CARD}").networks.annotator
        if NAME not in modules or settings is None:
            raise ValueError(
                f"`{folder}` holds the weights of {', '.join(modules)} and no annotator; name the `weights` folder of "
                "a run of `configs/annotator.toml`, or none for the box's"
            )
        digest = hashlib.sha256((folder / f"{NAME}.safetensors").read_bytes()).hexdigest()
        return cls(prepare(modules[NAME]), settings.size, digest)

    def annotate(self, photo: ImageArray) -> Annotation:
        """The person in a photo; `DataError` when nobody is found in it."""
        first = self.look(photo, np.full((len(Joint), 3), MISSING, np.float32), "whole")
        second = self.look(photo, self._where(first), "person")
        labels = self._labels(second, photo.shape[:2])
        seen = second.joints[:, 2] > 0
        if seen.sum() < FEWEST_JOINTS:
            nobody(f"{seen.sum()} of {len(Joint)} joints were seen, {FEWEST_JOINTS} make a person")
        if not labels.any():
            nobody("no pixel of it was taken for one")
        return Annotation(second.joints, labels, second.confidence, _box(second.joints, labels))

    @torch.no_grad()
    def look(self, photo: ImageArray, joints: JointArray, how: FrameRule) -> Look:
        """One look at the frame that the joints give; the closer one also at its mirror image."""
        cut = frame(photo, np.zeros(photo.shape[:2], np.uint8), joints, self.size, how)
        at = window(joints, photo.shape[:2], self.size, how)
        image = to_float(torch.from_numpy(cut.image)[None])
        if how == "person":
            logits, mirrored = self.network(torch.cat([image, image.flip(3)])).split(1)
            logits = (logits + mirror(mirrored)) / 2
        else:
            logits = self.network(image)
        peaks = heatmap_peaks(logits[:, len(Label) :])
        found = seen_joints(peaks)[0].double().numpy()
        scale = np.array((at.width / self.size[1], at.height / self.size[0]))
        xy = (found[:, :2] + 0.5) * scale - 0.5 + (at.left, at.top)
        limit = np.array(photo.shape[1::-1]) - 1
        inside = (found[:, 2] > 0) & ((xy >= -0.5) & (xy <= limit + 0.5)).all(1)
        placed = np.column_stack((np.clip(xy, 0, limit), np.ones(len(xy))))
        return Look(
            np.where(inside[:, None], placed, MISSING).astype(np.float32),
            peaks.confidence[0].numpy().astype(np.float32),
            logits[:, : len(Label)],
            at,
        )

    def _where(self, look: Look) -> JointArray:
        """What the person's frame goes round, as joints: those that are seen, and the map's person without its rim."""
        labels = _of_the_person(to_labels(look.logits)[0].numpy(), np.empty((0, 2)))
        rows, columns = np.nonzero(labels)
        seen = look.joints[look.joints[:, 2] > 0]
        is_large = len(rows) >= SMALLEST_PERSON * labels.size
        if len(seen) < FEWEST_JOINTS and not is_large:
            nobody(
                f"{len(seen)} of {len(Joint)} joints were seen, and {len(rows)} px of {self.size} were taken for one"
            )
        points = look.joints.copy()
        if is_large:
            low, high = np.array((columns.min(), rows.min())), np.array((columns.max() + 1, rows.max() + 1))
            rim = np.minimum(RIM * (high - low).max(), (high - low) / 2)
            corner, scale = (look.frame.left, look.frame.top), look.frame.height / self.size[0]
            ends = np.stack((low + rim, high - rim)) * scale + corner - 0.5
            ends = np.concatenate((ends, seen[:, :2]))
            points[:2] = np.column_stack((np.stack((ends.min(0), ends.max(0))), (1, 1)))
        return points

    def _labels(self, look: Look, picture: tuple[int, ...]) -> LabelArray:
        """The likeliest label of every pixel of the photo; what lies beyond the frame is background."""
        at = look.frame
        finer = (min(at.height, FINEST * self.size[0]), min(at.width, FINEST * self.size[1]))
        labels = to_labels(interpolate(look.logits, size=finer, mode="bilinear", align_corners=False))[0].numpy()
        found = np.zeros(picture[:2], np.uint8)
        top, left = max(0, at.top), max(0, at.left)
        bottom, right = min(picture[0], at.top + at.height), min(picture[1], at.left + at.width)
        rows = (np.arange(top, bottom) - at.top) * finer[0] // at.height
        columns = (np.arange(left, right) - at.left) * finer[1] // at.width
        found[top:bottom, left:right] = labels[rows[:, None], columns]
        return _of_the_person(found, look.joints[look.joints[:, 2] > 0, :2])


def mirror(maps: Maps) -> Maps:
    """What the mirrored picture's maps say of the picture itself: turned back, left and right renamed."""
    channels = [*FLIP_LABELS, *(len(Label) + joint for joint in FLIP_JOINTS)]
    return maps.flip(3)[:, channels]


def _of_the_person(labels: LabelArray, seen: Float[np.ndarray, "n 2"]) -> LabelArray:
    """The map without its islands: the largest piece stays, and each in which a joint was seen (x, y in px of it)."""
    count, pieces, about, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8), connectivity=8)
    if count < 2:
        return labels
    columns, rows = seen.round().astype(int).T
    kept = {1 + int(about[1:, cv2.CC_STAT_AREA].argmax()), *pieces[rows, columns].tolist()}
    return np.where(np.isin(pieces, list(kept)), labels, np.uint8(Label.BACKGROUND))


def _box(joints: JointArray, labels: LabelArray) -> tuple[float, float, float, float]:
    """Round all joints that were seen and all pixels of the person."""
    rows, columns = np.nonzero(labels)
    seen = joints[joints[:, 2] > 0, :2]
    low = np.minimum(seen.min(0), (columns.min(), rows.min()))
    high = np.maximum(seen.max(0), (columns.max(), rows.max()))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
