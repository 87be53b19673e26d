"""A block of sources searched: the first stage for all of them at once, the criterion source by source.

The criterion's batch is one source with its candidates, so that a pair's score does not depend on who else is in the
block.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from spt_dist.data.search.criterion import Figures, mismatch
from spt_dist.data.search.people import People, Settings
from spt_dist.data.search.prune import Bucket, describe, estimate, mirror, pose_distances, strangers

AT_ONCE = 24  # pairs whose criterion is computed together; more, and memory is slower than arithmetic


class Found(NamedTuple):
    """A row of the index: source `id` and its `rank`-th best match, which may be `mirrored`.

    `score` is the criterion in px of the reduced maps; `pose_distance` is in torso lengths squared.
    """

    id: str
    rank: int
    match: str
    mirrored: bool
    score: float
    pose_distance: float


class Candidates(NamedTuple):
    """A source's admissible candidates: rows of the bucket, those from its size on mirrored; `estimate` orders them."""

    columns: Int64[Tensor, "m"]
    estimate: Float[Tensor, "m"]
    pose_distance: Float[Tensor, "m"]


def search_block(sources: People, buckets: dict[int, Bucket], settings: Settings) -> list[Found]:
    """The best matches of every source, in the sources' order; none for whom no candidate is admissible."""
    found: dict[int, list[Found]] = {}
    for row, bucket, candidates in first_stage(sources, buckets, settings):
        keep = candidates.estimate.topk(min(settings.keep, len(candidates.columns)), largest=False).indices
        scores = exact(sources.take([row]), bucket, candidates.columns[keep])
        found[row] = best(sources.ids[row], bucket, candidates, keep, scores, settings.k)
    return [match for row in sorted(found) for match in found[row]]


def first_stage(
    sources: People, buckets: dict[int, Bucket], settings: Settings
) -> Iterator[tuple[int, Bucket, Candidates]]:
    """For each source that has any, its row and its admissible candidates."""
    for kind, bucket in buckets.items():
        rows = (sources.worn == kind).nonzero()[0].tolist()
        if not rows:
            continue
        dressed = sources.take(rows)
        figures = dressed.figures()
        views = [describe(figures), describe(mirror(figures))]
        others = strangers(dressed, bucket).repeat(1, 2)
        poses = torch.cat([pose_distances(view, bucket.described) for view in views], dim=1)
        costs = torch.cat([estimate(view, bucket.described) for view in views], dim=1)
        allowed = others & (poses >= settings.min_pose_distance)
        for slot, row in enumerate(rows):
            columns = allowed[slot].nonzero()[:, 0]
            if len(columns):
                yield row, bucket, Candidates(columns, costs[slot, columns], poses[slot, columns])


def exact(source: People, bucket: Bucket, columns: Int64[Tensor, "m"]) -> Float[Tensor, "m"]:
    """The criterion of one source against columns of its bucket, mirror images behind."""
    own, size, scores = source.figures(), len(bucket.people.ids), []
    for some in columns.split(AT_ONCE):
        straight = bucket.people.take((some % size).tolist()).figures()
        turned = mirror(straight)
        mirrored = (some >= size)[:, None, None]
        labels = torch.where(mirrored, turned.labels, straight.labels)
        joints = torch.where(mirrored, turned.joints, straight.joints)
        scores.append(mismatch(own.take(torch.zeros_like(some)), Figures(labels, joints)))
    return torch.cat(scores)


def best(
    name: str, bucket: Bucket, candidates: Candidates, keep: Int64[Tensor, "m"], scores: Float[Tensor, "m"], k: int
) -> list[Found]:
    """The `k` least scores in order; where they tie, the least id, and the picture before its mirror image."""
    size, rows = len(bucket.people.ids), []
    for column, score, distance in zip(
        candidates.columns[keep].tolist(), scores.tolist(), candidates.pose_distance[keep].tolist(), strict=True
    ):
        rows.append((score, bucket.people.ids[column % size], column >= size, distance))
    return [
        Found(name, rank, match, mirrored, score, distance)
        for rank, (score, match, mirrored, distance) in enumerate(sorted(rows)[:k])
    ]
