"""A folder of people in the importers' layout, whose parts a test can break."""

import json
from pathlib import Path

import cv2
import numpy as np

from spt_dist.data.schema import Sample


def write_folder(folder: Path, samples: list[Sample], photo: str = "jpg") -> Path:
    """The samples as `img/`, `parsing/`, `keypoints.csv` and `train.txt`."""
    for part in ("img", "parsing"):
        (folder / part).mkdir(parents=True)
    lines, names = ["name:keypoints_y:keypoints_x"], []
    for sample in samples:
        names.append(f"{sample.id}.{photo}")
        bgr = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
        assert cv2.imwrite(str(folder / "img" / names[-1]), bgr)
        assert cv2.imwrite(str(folder / "parsing" / f"{sample.id}.png"), sample.labels)
        lines.append(line_of(names[-1], sample.joints))
    (folder / "keypoints.csv").write_text("\n".join(lines) + "\n")
    (folder / "train.txt").write_text("\n".join(names) + "\n")
    return folder


def line_of(name: str, joints: np.ndarray) -> str:
    """A line of `keypoints.csv`."""
    return f"{name}:{json.dumps(joints[:, 1].tolist())}:{json.dumps(joints[:, 0].tolist())}"
