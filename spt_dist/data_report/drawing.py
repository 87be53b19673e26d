"""The pictures of the page: each a JPEG or PNG in a `data:` address, small enough that hundreds fit into one file."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

from spt_dist.body import Joint
from spt_dist.data.schema import Sample
from spt_dist.data_report.facts import Facts
from spt_dist.pictures import Picture, at_height, inline, painted_picture, posed_picture, skeleton_picture

HEIGHT, POSE_HEIGHT, HEAT_HEIGHT, GAP_PX = 224, 150, 120, 6
QUALITY = 82
POSE_FRAME, POSE_CENTRE = (5.6, 3.6), (2.5, 1.8)  # (height, width), (y, x) of the torso's centre; torso lengths
HEAT_ROWS = 48  # cells of a heat map


def jpeg(picture: Picture) -> str:
    """A picture's address."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return inline(encoded.tobytes())


def sample_strip(sample: Sample) -> str:
    """A sample as it is, with its joints, and with its parsing map."""
    posed = posed_picture(sample.image, sample.joints, height=HEIGHT)
    painted = painted_picture(sample.image, sample.labels, height=HEIGHT)
    return jpeg(np.concatenate((at_height(sample.image, HEIGHT), posed, painted), axis=1))


def side_by_side(one: Sample, other: Sample) -> str:
    """Two pictures, to be compared."""
    gap = np.full((HEIGHT, GAP_PX, 3), 255, np.uint8)
    return jpeg(np.concatenate((at_height(one.image, HEIGHT), gap, at_height(other.image, HEIGHT)), axis=1))


def pose_picture(joints: Float32[np.ndarray, "18 3"], xy: Float[np.ndarray, "18 2"]) -> str:
    """A pose in torso lengths from the torso's centre, all equally large; `joints` say which are seen."""
    scale = POSE_HEIGHT / POSE_FRAME[0]
    placed = np.concatenate(((xy + np.array(POSE_CENTRE)[::-1]) * scale, joints[:, 2:]), axis=1)
    return jpeg(skeleton_picture(placed, (POSE_HEIGHT, round(POSE_FRAME[1] * scale))))


def heat_maps(facts: Facts, size: tuple[int, int]) -> dict[str, str]:
    """Where each joint lies in the frame, over all samples: the brighter, the more often."""
    cells = (HEAT_ROWS, max(8, round(HEAT_ROWS * size[1] / size[0])))
    maps = {}
    for joint in Joint:
        seen = facts.joints[facts.joints[:, joint, 2] > 0, joint, :2]
        counts, _, _ = np.histogram2d(seen[:, 1] / size[0], seen[:, 0] / size[1], bins=cells, range=((0, 1), (0, 1)))
        smooth = cv2.GaussianBlur(counts.astype(np.float32), (0, 0), 1.2)
        level = np.sqrt(smooth / max(float(smooth.max()), 1e-9)) * 255
        coloured = cv2.cvtColor(cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        width = max(1, round(HEAT_HEIGHT * size[1] / size[0]))
        maps[joint.name] = jpeg(np.asarray(cv2.resize(coloured, (width, HEAT_HEIGHT)), np.uint8))
    return maps
