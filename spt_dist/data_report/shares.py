"""Labels and joints of each split: how much of the pictures, in how many samples, where."""

from typing import Any

import numpy as np

from spt_dist.body import Joint, Label
from spt_dist.data_report.facts import Facts

HAS_LABEL = 0.001  # of the picture's pixels; fewer are a stray edge
DIFFERENT, DEVIATIONS = 0.15, 3.0  # a share differs by so much, and by so many standard errors


def label_shares(facts: Facts) -> dict[str, dict[str, dict[str, float]]]:
    """By split and label: the share of all pixels, and of samples that have the label at all."""
    shares = facts.pixels / facts.pixels.sum(1, keepdims=True)
    return {
        split: {
            label.name: {
                "pixels": round(float(shares[facts.rows(split), label].mean()), 6),
                "samples": round(float((shares[facts.rows(split), label] >= HAS_LABEL).mean()), 6),
            }
            for label in Label
        }
        for split in facts.splits
    }


def joint_shares(facts: Facts, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """By split and joint: the share of samples that show it, and its mean place (x, y) as shares of the frame."""
    frame = np.array([size[1], size[0]])
    found = {}
    for split in facts.splits:
        joints = facts.joints[facts.rows(split)]
        seen = joints[..., 2] > 0
        found[split] = {
            joint.name: {
                "visible": round(float(seen[:, joint].mean()), 6),
                "place": [round(float(v), 4) for v in (joints[seen[:, joint], joint, :2] / frame).mean(0)]
                if seen[:, joint].any()
                else None,
            }
            for joint in Joint
        }
    return found


def foreground(facts: Facts) -> dict[str, float]:
    """By split: the share of its picture that the median person fills."""
    shares = 1 - facts.pixels[:, Label.BACKGROUND] / facts.pixels.sum(1)
    return {split: round(float(np.median(shares[facts.rows(split)])), 4) for split in facts.splits}


def differ(one: float, other: float, n_one: int, n_other: int) -> bool:
    """Whether two shares are further apart than matters, and than chance explains."""
    both = (one * n_one + other * n_other) / (n_one + n_other)
    error = (both * (1 - both) * (1 / n_one + 1 / n_other)) ** 0.5
    return abs(one - other) > max(DIFFERENT, DEVIATIONS * error)
