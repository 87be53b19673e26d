"""What was found in photos, to look at: each photo with its skeleton, and beside it its parsing map over the photo."""

from collections.abc import Sequence

import cv2
import numpy as np

from spt_dist.annotate.folder import Seen
from spt_dist.body import Label
from spt_dist.pictures import BACKDROPS, CELL_HEIGHT, Picture, grid, parsing_picture, skeleton_picture

MOST = 24  # photos of a sheet
ACROSS = 4  # photos side by side
CELL = (2 * CELL_HEIGHT, round(1.5 * CELL_HEIGHT))  # height, width in px; photos lie in its middle
DIMMED = 0.75  # of the photo's light under a skeleton
PAINT = 0.65  # how much the map covers


def draw_sheet(seen: Sequence[Seen]) -> Picture:
    """Photos in rows, each in two cells: the skeleton, the parsing map; the box is drawn around the person."""
    cells = [cell for each in seen for cell in _cells(each)]
    cells += [np.full((*CELL, 3), 255, np.uint8)] * (-len(cells) % (2 * ACROSS) if len(seen) > ACROSS else 0)
    across = min(2 * ACROSS, len(cells))
    return grid([cells[start : start + across] for start in range(0, len(cells), across)], [""] * across)


def _cells(each: Seen) -> tuple[Picture, Picture]:
    height, width = each.photo.shape[:2]
    scale = min(CELL[0] / height, CELL[1] / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    photo = cv2.resize(each.photo, size[::-1], interpolation=cv2.INTER_AREA)
    joints = each.found.joints.copy()
    joints[:, :2] = (joints[:, :2] + 0.5) * (size[1] / width, size[0] / height) - 0.5
    skeleton = skeleton_picture(joints, size)
    drawn = (skeleton != BACKDROPS["dark"]).any(-1, keepdims=True)
    posed = np.where(drawn, skeleton, (DIMMED * photo).astype(np.uint8))
    x0, y0, x1, y1 = (round(float(value) * scale) for value in each.found.box)
    posed = cv2.rectangle(posed.copy(), (x0, y0), (x1, y1), BACKDROPS["light"], 1)
    labels = cv2.resize(each.found.labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    painted = PAINT * parsing_picture(labels) + (1 - PAINT) * photo
    mapped = np.where((labels == Label.BACKGROUND)[..., None], photo, painted.astype(np.uint8))
    return _padded(posed), _padded(mapped)


def _padded(picture: np.ndarray) -> Picture:
    free = np.array(CELL) - picture.shape[:2]
    (top, left), (bottom, right) = free // 2, free - free // 2
    white = (255.0, 255.0, 255.0)
    padded = cv2.copyMakeBorder(picture, int(top), int(bottom), int(left), int(right), cv2.BORDER_CONSTANT, value=white)
    return np.asarray(padded, np.uint8)
