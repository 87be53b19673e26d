"""What was found in photos, to look at: each photo with its skeleton, and beside it its parsing map over the photo."""

from collections.abc import Sequence

import cv2
import numpy as np

from spt_dist.annotate.folder import Seen
from spt_dist.pictures import BACKDROPS, CELL_HEIGHT, Picture, grid, painted_picture, posed_picture

MOST = 24  # photos of a sheet
ACROSS = 4  # photos side by side
CELL = (2 * CELL_HEIGHT, round(1.5 * CELL_HEIGHT))  # height, width in px; photos lie in its middle


def draw_sheet(seen: Sequence[Seen]) -> Picture:
    """Photos in rows, each in two cells: the skeleton, the parsing map; the box is drawn around the person."""
    cells = [cell for each in seen for cell in _cells(each)]
    cells += [np.full((*CELL, 3), 255, np.uint8)] * (-len(cells) % (2 * ACROSS) if len(seen) > ACROSS else 0)
    across = min(2 * ACROSS, len(cells))
    return grid([cells[start : start + across] for start in range(0, len(cells), across)], [""] * across)


def _cells(each: Seen) -> tuple[Picture, Picture]:
    height, width = each.photo.shape[:2]
    scale = min(CELL[0] / height, CELL[1] / width)
    shown = max(1, int(height * scale))
    posed = posed_picture(each.photo, each.found.joints, height=shown)
    x0, y0, x1, y1 = (round(float(value) * scale) for value in each.found.box)
    posed = cv2.rectangle(posed.copy(), (x0, y0), (x1, y1), BACKDROPS["light"], 1)
    return _padded(np.asarray(posed, np.uint8)), _padded(painted_picture(each.photo, each.found.labels, height=shown))


def _padded(picture: np.ndarray) -> Picture:
    picture = picture[:, : CELL[1]]  # a strip of a px in height is wider
    free = np.array(CELL) - picture.shape[:2]
    (top, left), (bottom, right) = free // 2, free - free // 2
    white = (255.0, 255.0, 255.0)
    padded = cv2.copyMakeBorder(picture, int(top), int(bottom), int(left), int(right), cv2.BORDER_CONSTANT, value=white)
    return np.asarray(padded, np.uint8)
