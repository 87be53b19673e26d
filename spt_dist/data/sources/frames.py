"""The pictures that annotations were made on, and the way from their pixels to those of a photo.

DeepFashion's photos of 256x256 px hold the person in their middle 176 columns. One lineage of annotations counts px in
the whole picture, the other (`resize`) in those columns: x differs by 40 (measured on the photos that both annotate).
Photos come in either form, or larger as they were sold (750 x 1101 px), which is the middle part. Market-1501 is
128x64 px.
"""

import numpy as np

from spt_dist.body import MISSING
from spt_dist.data.schema import DataError, JointArray

Size = tuple[int, int]  # height, width in px

FASHION, FASHION_MIDDLE, MARKET = (256, 256), (256, 176), (128, 64)
MARGIN_PX = (FASHION[1] - FASHION_MIDDLE[1]) // 2
SAME_SHAPE = 0.03  # two pictures have one shape when height / width differs by no more


def to_photo(joints: JointArray, frame: Size, photo: Size, fashion: bool = False) -> JointArray:
    """Joints in px of a picture of `frame` as px of the photo; those that fall outside of it are missing.

    `fashion` knows of DeepFashion's two shapes that one is the middle of the other.

    Raises:
        DataError: the two have different shapes.
    """
    moved, size = joints.copy(), frame
    if fashion and frame == FASHION and _same_shape(FASHION_MIDDLE, photo):
        moved[:, 0] -= MARGIN_PX
        size = FASHION_MIDDLE
    elif fashion and frame == FASHION_MIDDLE and _same_shape(FASHION, photo):
        moved[:, 0] += MARGIN_PX
        size = FASHION
    if not _same_shape(size, photo):
        raise DataError(
            f"keypoints are for pictures of {frame[0]}x{frame[1]} px, the photo has {photo[0]}x{photo[1]}; "
            "say for which size they are with --keypoints-size HEIGHTxWIDTH"
        )
    if size != photo:
        scale = np.array((photo[1] / size[1], photo[0] / size[0]), np.float32)
        moved[:, :2] = (moved[:, :2] + 0.5) * scale - 0.5
    moved[joints[:, 2] == 0] = joints[joints[:, 2] == 0]
    return inside(moved, photo)


def from_fractions(joints: JointArray, photo: Size) -> JointArray:
    """Joints in shares of the photo's width and height as its px; those outside are missing."""
    moved = joints.copy()
    moved[:, :2] = joints[:, :2] * np.array(photo[::-1], np.float32) - 0.5
    moved[joints[:, 2] == 0] = joints[joints[:, 2] == 0]
    return inside(moved, photo)


def inside(joints: JointArray, size: Size) -> JointArray:
    """The joints whose pixel lies in the picture, clipped to its outermost pixels' centres; the others are missing."""
    limit = np.array(size[::-1], np.float32)
    seen = (joints[:, 2] > 0) & ((joints[:, :2] >= -0.5) & (joints[:, :2] <= limit - 0.5)).all(1)
    kept = np.full_like(joints, MISSING)
    kept[seen] = np.column_stack((np.clip(joints[:, :2], 0, limit - 1), joints[:, 2]))[seen]
    return kept


def _same_shape(one: Size, other: Size) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_SHAPE
