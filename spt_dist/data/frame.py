"""The frame: where the person stands in the picture that the networks see.

One rule serves packing and inference, so that a photo given to a trained network looks like those it learned from.
`person` cuts a box around the visible joints, `whole` takes the picture as it is; either is widened to the shape of the
wanted size, filled beyond the picture's edge, and resized. The box lies on whole pixels: a picture that has the wanted
size already passes `whole` unchanged.

A picture pixel x (centres on integers) lands at `(x - left + 0.5) * scale - 0.5`. Beyond the edge the image repeats
its outermost pixels and the labels are background. A joint that lands outside the frame is missing.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np

from spt_dist.body import MISSING, Label
from spt_dist.data.schema import DataError, ImageArray, JointArray, LabelArray

FrameRule = Literal["person", "whole"]

MARGIN = 0.16  # of the joints' longer side, on every side: hair above the eyes, feet below the ankles, hands
MOST_FRAMED_PIXELS = 200_000_000  # of a frame before it is resized, 0.8 GB with its map: strips widen to gigabytes
SLACK_PX = 1  # detectors put joints on the picture's very edge
SMALLEST_BOX = 0.25  # of the picture's longer side: two joints close together do not make a person


class Framed(NamedTuple):
    """The framed picture: `image` uint8 [h, w, 3], `labels` uint8 [h, w], `joints` float32 [18, 3]."""

    image: ImageArray
    labels: LabelArray
    joints: JointArray


class Window(NamedTuple):
    """A window on the picture in whole px; it may reach beyond the edges."""

    top: int
    left: int
    height: int
    width: int


def frame(
    image: ImageArray, labels: LabelArray, joints: JointArray, size: tuple[int, int], how: FrameRule = "person"
) -> Framed:
    """Cut the person out and bring image, labels and joints to `size` (height, width) px.

    With fewer than two visible joints `person` is `whole`.

    Raises:
        DataError: the frame would be too large, as around a long strip or far joints.
    """
    box = window(joints, labels.shape, size, how)
    if box.height * box.width > MOST_FRAMED_PIXELS:
        raise DataError(
            f"the picture is {labels.shape} px, but its frame for {size} px would be {(box.height, box.width)}; "
            "make the picture smaller, cut strips, and leave out joints that lie far away"
        )
    shrinking = box.height > size[0]
    return Framed(
        resize(cut(image, box, cv2.BORDER_REPLICATE), size, cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR),
        resize(cut(labels, box, cv2.BORDER_CONSTANT), size, cv2.INTER_NEAREST_EXACT),
        move(joints, box, size),
    )


def frame_joints(
    joints: JointArray, picture_size: tuple[int, int], size: tuple[int, int], how: FrameRule = "person"
) -> JointArray:
    """The joints as `frame` would move them: a target pose without its picture of `picture_size` (height, width) px."""
    return move(joints, window(joints, picture_size, size, how), size)


def inside(joints: JointArray, picture_size: tuple[int, ...]) -> JointArray:
    """The joints, those outside the picture of `picture_size` (height, width) px missing."""
    edge = np.array(picture_size[1::-1]) - 1 + SLACK_PX
    stays = ((joints[:, :2] >= -SLACK_PX) & (joints[:, :2] <= edge)).all(1) & (joints[:, 2] > 0)
    return np.where(stays[:, None], joints, np.asarray(MISSING, np.float32)).astype(np.float32)


def window(joints: JointArray, picture: tuple[int, ...], size: tuple[int, int], how: FrameRule) -> Window:
    """What `frame` cuts out of a picture (height, width), of the aspect of `size` up to rounding."""
    seen = joints[joints[:, 2] > 0, :2]
    if how == "whole" or len(seen) < 2:
        low, high = np.zeros(2), np.array((picture[1], picture[0]), float)
    else:
        low, high = seen.min(0), seen.max(0) + 1  # edges of the outermost pixels
        middle, extent = (low + high) / 2, high - low
        reach = np.maximum(extent / 2 + MARGIN * extent.max(), SMALLEST_BOX * max(picture) / 2)
        low, high = middle - reach, middle + reach
    (width, height), (x, y) = high - low, (low + high) / 2
    scale = max(height / size[0], width / size[1])
    height, width = max(1, round(scale * size[0])), max(1, round(scale * size[1]))
    return Window(round(y - height / 2), round(x - width / 2), height, width)


def cut(
    picture: np.ndarray, box: Window, border: int, fill: tuple[float, ...] = (float(Label.BACKGROUND),) * 4
) -> np.ndarray:
    """The box's content; beyond the edge it is filled by OpenCV's `border` rule, with `fill` where that wants one."""
    height, width = picture.shape[:2]
    pads = (
        max(0, -box.top),
        max(0, box.top + box.height - height),
        max(0, -box.left),
        max(0, box.left + box.width - width),
    )
    if any(pads):
        picture = cv2.copyMakeBorder(picture, *pads, border, value=fill)
    top, left = box.top + pads[0], box.left + pads[2]
    return np.ascontiguousarray(picture[top : top + box.height, left : left + box.width])


def resize(picture: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    """`picture` at `size`; untouched when it has that size."""
    return picture if picture.shape[:2] == size else cv2.resize(picture, size[::-1], interpolation=how)


def move(joints: JointArray, box: Window, size: tuple[int, int]) -> JointArray:
    """The joints in the frame; those missing or outside are missing."""
    scale = np.array((size[1] / box.width, size[0] / box.height))
    xy = (joints[:, :2] - (box.left, box.top) + 0.5) * scale - 0.5
    inside = ((xy >= -0.5) & (xy <= np.array(size[::-1]) - 0.5)).all(1) & (joints[:, 2] > 0)
    moved = np.full_like(joints, MISSING)
    moved[inside] = np.column_stack((np.clip(xy, 0, np.array(size[::-1]) - 1), np.ones(len(xy))))[inside]
    return moved.astype(np.float32)
