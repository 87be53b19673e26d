"""The pictures of the page: each a JPEG or PNG in a `data:` address, small enough that hundreds fit into one file."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

from spt_dist.body import LABEL_COLOURS, Joint, Label
from spt_dist.data.schema import Sample
from spt_dist.data_report.facts import Facts
from spt_dist.pictures import BACKDROPS, Picture, inline, skeleton_picture

HEIGHT, POSE_HEIGHT, HEAT_HEIGHT, GAP_PX = 224, 150, 120, 6
QUALITY = 82
MAP_SHARE, DIMMED = 0.6, 0.65  # of the parsing map over the photo; of the photo under joints
POSE_FRAME, POSE_CENTRE = (5.6, 3.6), (2.5, 1.8)  # (height, width), (y, x) of the torso's centre; torso lengths
HEAT_ROWS = 48  # cells of a heat map


def jpeg(picture: Picture) -> str:
    """A picture's address."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return inline(encoded.tobytes())


def at_height(picture: Picture, height: int = HEIGHT) -> Picture:
    """The picture at the height at which it is shown."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    how = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def sample_strip(sample: Sample) -> str:
    """A sample as it is, with its joints, and with its parsing map."""
    photo = at_height(sample.image)
    size = (sample.labels.shape[0], sample.labels.shape[1])
    limbs = at_height(skeleton_picture(sample.joints, size, height=HEIGHT))[:, : photo.shape[1]]
    drawn = (limbs != BACKDROPS["dark"]).any(2, keepdims=True)
    posed = np.where(drawn, limbs, (photo * DIMMED).astype(np.uint8))
    height, width = photo.shape[:2]
    labels = np.asarray(cv2.resize(sample.labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    colours = np.asarray(LABEL_COLOURS, np.float32)[labels]
    mixed = (MAP_SHARE * colours + (1 - MAP_SHARE) * photo).astype(np.uint8)
    parsed = np.where(labels[..., None] > Label.BACKGROUND, mixed, (photo * DIMMED).astype(np.uint8))
    return jpeg(np.concatenate((photo, posed, parsed), axis=1))


def side_by_side(one: Sample, other: Sample) -> str:
    """Two pictures, to be compared."""
    gap = np.full((HEIGHT, GAP_PX, 3), 255, np.uint8)
    return jpeg(np.concatenate((at_height(one.image), gap, at_height(other.image)), axis=1))


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
