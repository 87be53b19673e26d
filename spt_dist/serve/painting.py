"""How a replica draws: jobs of one model, gathered into a batch, become pictures or refusals, one for each.

A batch is as strong as its weakest member unless somebody cares: a job that cannot be drawn, or whose deadline has
passed, is answered alone, and when a whole batch fails each of its jobs is drawn by itself. Of the sources in new poses
only those are encoded that no earlier batch left in the cache.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from spt_dist import config
from spt_dist.annotate.choice import open_annotator
from spt_dist.body import Joint, Label
from spt_dist.data.frame import window
from spt_dist.data.schema import DataError
from spt_dist.encodings import Encodings, source_key
from spt_dist.infer import Generated, Predictor
from spt_dist.person import JointArray, Person
from spt_dist.serve.following import weights_digest
from spt_dist.serve.orders import (
    DeadlineError,
    Drawn,
    EditOrder,
    Found,
    Job,
    Look,
    Order,
    PoseOrder,
    RequestError,
    Source,
    TransferOrder,
)

Outcome: TypeAlias = Drawn | RequestError | DeadlineError | RuntimeError
logger = logging.getLogger(__name__)


class Posed(NamedTuple):
    """A person drawn in a new pose, and whether the source was encoded before; None: nothing was looked up."""

    drawn: Generated
    cached: bool | None


class LoadedModel(NamedTuple):
    """A model ready to draw, and the digest of what was loaded."""

    predictor: Predictor
    digest: str

    @classmethod
    def load(cls, folder: Path, device: str, limits: config.Serve) -> "LoadedModel":
        """Read a `weights` folder and draw pictures of nothing, whose price no request shall pay.

        Raises:
            ValueError: the folder is not whole.
        """
        predictor = Predictor.load(folder, device)
        if limits.compile:
            predictor.compile()
        height, width = predictor.size
        labels = np.full((height, width), Label.UPPER, np.uint8)
        joints = np.full((len(Joint), 3), (width / 2, height / 2, 1), np.float32)
        image = np.zeros((height, width, 3), np.uint8)
        for count in range(1, limits.max_batch + 1) if limits.compile else (1,):  # every size is compiled for itself
            predictor.generate_batch([image] * count, [labels] * count, [joints] * count, [joints] * count)
        return cls(predictor, weights_digest(folder))


def draw_jobs(
    model: LoadedModel, jobs: Sequence[Job], painter_since: float, encodings: Encodings | None = None
) -> list[Outcome]:
    """Each job's picture, or why there is none; the jobs in new poses are drawn in one pass of the networks.

    `encodings` keeps their sources; without it nothing is kept.
    """
    start = time.perf_counter()
    found: dict[int, Generated | Posed | Exception] = {}
    posed = []
    for index, job in enumerate(jobs):
        try:
            if job.left_s <= 0:
                raise DeadlineError("the deadline passed while the order waited")
            if isinstance(job.order, PoseOrder):
                _check_pose(model.predictor, job.order)
                posed.append(index)
            else:
                found[index] = _draw_alone(model.predictor, job)
        except Exception as error:  # noqa: BLE001 - it belongs to this job alone
            found[index] = error
    drawn = _draw_together(model, [jobs[index] for index in posed], encodings)
    found |= dict(zip(posed, drawn, strict=True))
    stages = {"draw": time.perf_counter() - start}
    how = model.digest, stages, painter_since, len(posed)
    outcomes = [_outcome(found[index], job, *how) for index, job in enumerate(jobs)]
    return [
        each._replace(window=_window(model.predictor, job.order)) if isinstance(each, Drawn) else each
        for each, job in zip(outcomes, jobs, strict=True)
    ]


def annotate(annotator: str, threads: int, look: Look) -> Found:
    """The person in a raw photo, by whom `serve.annotator` names; `RequestError` when nobody is found."""
    if look.left_s <= 0:
        raise DeadlineError("the deadline passed while the photo waited")
    start = time.perf_counter()
    opened = open_annotator(annotator, threads)
    try:
        found = opened.annotate(look.photo)
    except DataError as error:
        raise RequestError(look.field, str(error)) from None
    stages = {"annotate": time.perf_counter() - start}
    return Found(found.joints, found.labels, found.confidence, found.box, opened.name, stages)


def _draw_together(model: LoadedModel, jobs: Sequence[Job], encodings: Encodings | None) -> Sequence[Posed | Exception]:
    if not jobs:
        return []
    try:
        orders = [job.order for job in jobs if isinstance(job.order, PoseOrder)]
        return _draw_poses(model, orders, [job.seed for job in jobs], encodings)
    except Exception as error:
        if len(jobs) == 1:
            return [error]
        logger.exception("a batch of %d failed; each is drawn alone", len(jobs))
        return [found for job in jobs for found in _draw_together(model, [job], encodings)]


def _draw_poses(
    model: LoadedModel, orders: Sequence[PoseOrder], seeds: Sequence[int | None], encodings: Encodings | None
) -> list[Posed]:
    predictor, people = model.predictor, [Person(*order.source) for order in orders]
    targets = [_target(predictor, order) for order in orders]
    cached: Sequence[bool | None] = [None] * len(people)
    if encodings is None:
        encoded = predictor.encode_people(people)
    else:
        keys = [source_key(model.digest, *person) for person in people]
        encoded, cached = encodings.gather(keys, lambda places: predictor.encode_people([people[at] for at in places]))
    return [Posed(*pair) for pair in zip(predictor.draw_encoded(encoded, targets, seeds), cached, strict=True)]


def _draw_alone(predictor: Predictor, job: Job) -> Generated:
    order, person = job.order, Person(*job.order.source)
    try:
        if isinstance(order, TransferOrder):
            return predictor.transfer(person, Person(*order.giver), order.labels, job.seed)
        assert isinstance(order, EditOrder)
        return predictor.edit(person, order.new_labels, job.seed)
    except ValueError as error:
        raise RequestError("labels" if isinstance(order, TransferOrder) else "new_parsing", str(error)) from None


def _check_pose(predictor: Predictor, order: PoseOrder) -> None:
    try:
        _target(predictor, order)
    except ValueError as error:
        raise RequestError("target_joints", str(error)) from None


def _target(predictor: Predictor, order: PoseOrder) -> JointArray:
    """The wanted joints in the networks' frame."""
    return predictor.frame_target(*_pose_and_picture(order))


def _window(predictor: Predictor, order: Order) -> tuple[int, int, int, int]:
    """What the drawn picture shows, in px of the picture that the pose refers to."""
    joints, picture = _pose_and_picture(order) if isinstance(order, PoseOrder) else _own_pose(order.source)
    top, left, height, width = window(joints, picture, predictor.size, predictor.how)
    return top, left, height, width  # a plain tuple: whoever unpacks it has no torch


def _pose_and_picture(order: PoseOrder) -> tuple[JointArray, tuple[int, int]]:
    own = _own_pose(order.source)
    return order.target_joints, order.target_size or own[1]


def _own_pose(source: Source) -> tuple[JointArray, tuple[int, int]]:
    height, width = source.labels.shape
    return source.joints, (height, width)


def _outcome(
    found: Generated | Posed | Exception, job: Job, digest: str, stages: dict[str, float], since: float, posed: int
) -> Outcome:
    if isinstance(found, Posed):
        return Drawn(*found.drawn, digest, stages, since, posed, found.cached)
    if isinstance(found, Generated):
        return Drawn(*found, digest, stages, since)
    if isinstance(found, RequestError | DeadlineError):
        return found
    logger.error("request %s failed", job.request_id, exc_info=found)
    return RuntimeError(f"{type(found).__name__}: {found}")  # the exception itself may not survive the way
