"""Which poses there are, and which of them training will not have met.

Poses are compared as pair search compares them (`data.pairs`): in torso lengths from the torso's centre, mean squared
distance over the joints that both show. From `NEAR` on two poses clearly differ, there and here. A mirrored pose of a
training sample counts as met, since training mirrors.
"""

import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from spt_dist.body import Joint
from spt_dist.data.pairs import CLEARLY_OTHER, Poses, distances, normalised
from spt_dist.data.schema import flip_joints
from spt_dist.data_report.facts import Facts, Progress
from spt_dist.pictures import view_label

NEAR = CLEARLY_OTHER
TYPICAL, ROUNDS = 12, 25
ROWS = 256  # compared at a time
VIEWS = ("front", "side", "back", "contradictory", "unknown")
EARS, EYES = (Joint.L_EAR, Joint.R_EAR), (Joint.L_EYE, Joint.R_EYE)


class Map(NamedTuple):
    """Poses on a plane: `xy` by the two directions in which they differ most, and what these `explain` of it all.

    `kind` says to which of the typical poses a row is nearest; `typical` holds their rows, the most frequent first.
    """

    xy: Float[np.ndarray, "n 2"]
    explain: tuple[float, float]
    kind: Int64[np.ndarray, "n"]
    typical: list[int]


class Nearest(NamedTuple):
    """For each row how far the nearest pose of the reference is, and whose it is; itself is not meant."""

    distance: Float32[np.ndarray, "n"]
    row: Int64[np.ndarray, "n"]


def facing(joints: Float32[np.ndarray, "18 3"]) -> str:
    """One of `VIEWS`: by the shoulders, unless the head says clearly otherwise."""
    view, seen = view_label(joints), joints[:, 2] > 0
    face = bool(seen[Joint.NOSE] and seen[list(EYES)].all())
    nape = bool(seen[list(EARS)].any() and not seen[[Joint.NOSE, *EYES]].any())
    return "contradictory" if (view == "back" and face) or (view == "front" and nape) else view


def views(facts: Facts) -> dict[str, dict[str, float]]:
    """By split: from where people are seen, as shares."""
    found = {}
    for split in facts.splits:
        rows = facts.rows(split)
        counts = Counter(facing(facts.joints[row]) for row in rows)
        found[split] = {view: round(counts[view] / len(rows), 6) for view in VIEWS}
    return found


def reference_split(facts: Facts) -> str:
    """The split from whose poses the others' are measured: `train`, else the largest."""
    return "train" if "train" in facts.splits else max(facts.splits, key=lambda split: len(facts.rows(split)))


def nearest(facts: Facts, width: int, progress: Progress) -> Nearest:
    """Every row's nearest pose of the reference split, mirrored or not."""
    joints = torch.from_numpy(facts.joints)
    rows = torch.from_numpy(facts.rows(reference_split(facts)))
    own, known = normalised(joints), normalised(torch.cat((joints[rows], flip_joints(joints[rows], width))))
    distance, row = np.full(len(joints), np.inf, np.float32), np.full(len(joints), -1)
    place = {int(number): index for index, number in enumerate(rows)}
    for start in range(0, len(joints), ROWS):
        part = range(start, min(start + ROWS, len(joints)))
        apart = distances(Poses(own.xy[start : part.stop], own.visible[start : part.stop]), known)
        for line, number in enumerate(part):
            if number in place:
                apart[line, [place[number], place[number] + len(rows)]] = torch.inf
        least = apart.min(1)
        distance[start : part.stop] = least.values.numpy()
        row[start : part.stop] = rows[least.indices % len(rows)].numpy()
        progress("comparing poses", part.stop, len(joints))
    return Nearest(distance, row)


def coverage(facts: Facts, found: Nearest, listed: int) -> dict[str, dict[str, Any]]:
    """By split: the share of poses without a near one in the reference, the median distance, and the farthest."""
    result = {}
    for split in facts.splits:
        rows = facts.rows(split)
        apart = found.distance[rows]
        farthest = rows[np.argsort(-apart, kind="stable")][:listed]
        far = [row for row in farthest.tolist() if np.isfinite(found.distance[row]) and found.distance[row] > NEAR]
        result[split] = {
            "without_near": round(float((apart > NEAR).mean()), 6),
            "median_distance": round(float(np.median(apart)), 4) if np.isfinite(apart).all() else None,
            "far": [
                facts.name(row)
                | {"distance": round(float(found.distance[row]), 4), "nearest": facts.ids[int(found.row[row])]}
                for row in far
            ],
        }
    return result


def map_poses(facts: Facts, seed: int) -> Map:
    """Poses on a plane by principal components, with typical ones by seeded k-means; a missing joint is at its mean."""
    poses = normalised(torch.from_numpy(facts.joints))
    seen = poses.visible.numpy()[..., None]
    means = (poses.xy.numpy() * seen).sum(0) / np.maximum(seen.sum(0), 1)
    points = np.where(seen > 0, poses.xy.numpy(), means).reshape(len(seen), -1).astype(np.float64)
    centred = points - points.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    first, second = vectors[:, -1], vectors[:, -2]
    total = max(float(values.sum()), 1e-12)
    wanted = min(TYPICAL, len(np.unique(points, axis=0)))
    with warnings.catch_warnings(action="ignore"):  # of a centre that nobody is nearest to: it is left out below
        centres, _ = kmeans2(points, wanted, ROUNDS, minit="++", rng=np.random.default_rng(seed))
    apart = cdist(points, centres, "sqeuclidean")
    kind = apart.argmin(1)
    order = np.argsort(-np.bincount(kind, minlength=len(centres)), kind="stable")
    order = order[np.isin(order, kind)]
    hidden = 1 - seen.mean((1, 2))  # a typical pose is one that is seen whole
    typical = [int(np.where(kind == k, apart[:, k] + 4 * hidden, np.inf).argmin()) for k in order]
    rank = np.empty(len(centres), np.int64)
    rank[order] = range(len(order))
    explain = (round(float(values[-1]) / total, 4), round(float(values[-2]) / total, 4))
    return Map(centred @ np.stack((first, second), 1), explain, rank[kind], typical)


def kinds(facts: Facts, found: Map) -> list[dict[str, Any]]:
    """The typical poses: who shows it, from where it is seen, and its share of each split."""
    return [
        facts.name(row)
        | {
            "view": facing(facts.joints[row]),
            "shares": {
                split: round(float((found.kind[facts.rows(split)] == place).mean()), 6) for split in facts.splits
            },
        }
        for place, row in enumerate(found.typical)
    ]
