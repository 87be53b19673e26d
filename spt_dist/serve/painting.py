"""How a replica draws: jobs of one model, gathered into a batch, become pictures or refusals, one for each.

A batch is as strong as its weakest member unless somebody cares: a job that cannot be drawn, or whose deadline has
passed, is answered alone, and when a whole batch fails each of its jobs is drawn by itself.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from spt_dist.body import Joint, Label
from spt_dist.infer import Generated, Predictor
from spt_dist.person import Person
from spt_dist.serve.following import weights_digest
from spt_dist.serve.orders import DeadlineError, Drawn, EditOrder, Job, PoseOrder, RequestError, TransferOrder

Outcome: TypeAlias = Drawn | RequestError | DeadlineError | RuntimeError
logger = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """A model ready to draw, and the digest of what was loaded."""

    predictor: Predictor
    digest: str

    @classmethod
    def load(cls, folder: Path, device: str) -> "LoadedModel":
        """Read a `weights` folder and draw a picture of nothing, whose price no request shall pay.

        Raises:
            ValueError: the folder is not whole.
        """
        predictor = Predictor.load(folder, device)
        height, width = predictor.size
        labels = np.full((height, width), Label.UPPER, np.uint8)
        joints = np.full((len(Joint), 3), (width / 2, height / 2, 1), np.float32)
        predictor.generate(np.zeros((height, width, 3), np.uint8), labels, joints, joints)
        return cls(predictor, weights_digest(folder))


def draw_jobs(predictor: Predictor, digest: str, jobs: Sequence[Job], painter_since: float) -> list[Outcome]:
    """Each job's picture, or why there is none; the jobs in new poses are drawn in one pass of the networks."""
    start = time.perf_counter()
    found: dict[int, Generated | Exception] = {}
    posed = []
    for index, job in enumerate(jobs):
        try:
            if job.left_s <= 0:
                raise DeadlineError("the deadline passed while the order waited")
            if isinstance(job.order, PoseOrder):
                _check_pose(predictor, job.order)
                posed.append(index)
            else:
                found[index] = _draw_alone(predictor, job)
        except Exception as error:  # noqa: BLE001 - it belongs to this job alone
            found[index] = error
    found |= dict(zip(posed, _draw_together(predictor, [jobs[index] for index in posed]), strict=True))
    stages = {"draw": time.perf_counter() - start}
    batch = max(1, len(posed))
    return [_outcome(found[index], job, digest, stages, painter_since, batch) for index, job in enumerate(jobs)]


def _draw_together(predictor: Predictor, jobs: Sequence[Job]) -> Sequence[Generated | Exception]:
    if not jobs:
        return []
    try:
        return _draw_poses(predictor, jobs)
    except Exception as error:
        if len(jobs) == 1:
            return [error]
        logger.exception("a batch of %d failed; each is drawn alone", len(jobs))
        return [found for job in jobs for found in _draw_together(predictor, [job])]


def _draw_poses(predictor: Predictor, jobs: Sequence[Job]) -> list[Generated]:
    orders = [job.order for job in jobs if isinstance(job.order, PoseOrder)]
    images, labels, joints = zip(*(order.source for order in orders), strict=True)
    targets, sizes = [order.target_joints for order in orders], [order.target_size for order in orders]
    return predictor.generate_batch(images, labels, joints, targets, sizes)


def _draw_alone(predictor: Predictor, job: Job) -> Generated:
    order, person = job.order, Person(*job.order.source)
    try:
        if isinstance(order, TransferOrder):
            return predictor.transfer(person, Person(*order.giver), order.labels)
        assert isinstance(order, EditOrder)
        return predictor.edit(person, order.new_labels)
    except ValueError as error:
        raise RequestError("labels" if isinstance(order, TransferOrder) else "new_parsing", str(error)) from None


def _check_pose(predictor: Predictor, order: PoseOrder) -> None:
    height, width = order.source.labels.shape
    try:
        predictor.frame_target(order.target_joints, order.target_size or (height, width))
    except ValueError as error:
        raise RequestError("target_joints", str(error)) from None


def _outcome(
    found: Generated | Exception, job: Job, digest: str, stages: dict[str, float], since: float, posed: int
) -> Outcome:
    if isinstance(found, Generated):
        batch = posed if isinstance(job.order, PoseOrder) else 1
        return Drawn(found.image, found.labels, digest, stages, since, batch)
    if isinstance(found, RequestError | DeadlineError):
        return found
    logger.error("request %s failed", job.request_id, exc_info=found)
    return RuntimeError(f"{type(found).__name__}: {found}")  # the exception itself may not survive the way
