"""What travels between the two halves of the endpoint: orders to whoever draws, drawn pictures back. No torch in here.

A request becomes a `Job`: an order, checked; the model that draws it; a deadline. `Drawn` comes back with the
seconds that each stage took, so that the half that answers HTTP can tell and count them without asking anybody.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from spt_dist.body import Label
from spt_dist.joints import Pose

Pixels = UInt8[np.ndarray, "h w 3"]
LabelMap = UInt8[np.ndarray, "h w"]


class Model(NamedTuple):
    """Weights that are served; `size` is (height, width) in px, `noise` says whether a seed makes a difference.

    The id stays from one training of a run to the next, the digest does not.
    """

    id: str
    folder: Path
    digest: str
    size: tuple[int, int]
    noise: bool = False


class Source(NamedTuple):
    """A checked person: image [h, w, 3] and labels [h, w] uint8, joints [18, 3] float32 in px."""

    image: Pixels
    labels: LabelMap
    joints: Pose


class PoseOrder(NamedTuple):
    """The person in another pose, in px of a picture of `target_size` (height, width), else of the photo's size."""

    source: Source
    target_joints: Pose
    target_size: tuple[int, int] | None


class TransferOrder(NamedTuple):
    """The wearer in the giver's garments of `labels`."""

    source: Source
    giver: Source
    labels: frozenset[Label]


class EditOrder(NamedTuple):
    """The person repainted where `new_labels` [h, w] differs from its own map."""

    source: Source
    new_labels: LabelMap


Order: TypeAlias = PoseOrder | TransferOrder | EditOrder


class Job(NamedTuple):
    """An order on its way. `deadline` is in seconds of `time.time`, which nodes of a cluster share.

    `seed` is that of the picture's noise; without one it is drawn without.
    """

    order: Order
    model: Model
    deadline: float
    request_id: str
    seed: int | None = None

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self.deadline - time.time()


class Drawn(NamedTuple):
    """A picture [h, w, 3], its parsing map [h, w], and how it came to be."""

    image: Pixels
    labels: LabelMap
    digest: str  # of the weights that drew it
    stages: Mapping[str, float]  # name -> seconds: queue, draw
    painter_since: float  # `time.time` when the replica was ready: later than the request, and it was a cold start
    batch: int = 1  # how many pictures were drawn together with it, itself among them
    cached: bool | None = None  # whether the encoded source was there already; None: nothing was looked up
    window: tuple[int, int, int, int] | None = None  # see `schema.PictureAnswer`


class Look(NamedTuple):
    """A raw photo on its way to whoever annotates; `field` is the request's. Times are those of `Job`."""

    field: str
    photo: Pixels
    deadline: float
    request_id: str

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self.deadline - time.time()


class Found(NamedTuple):
    """What a photo shows: see `annotate.annotation.Annotation`; `annotator` is who says so."""

    joints: Pose
    labels: LabelMap
    confidence: Float32[np.ndarray, "18"]
    box: tuple[float, float, float, float]
    annotator: str
    stages: Mapping[str, float]  # name -> seconds: queue, annotate


class Replicas(NamedTuple):
    """How many painters draw, and how many are on their way."""

    running: int
    starting: int


@runtime_checkable
class Studio(Protocol):
    """Whoever draws: Ray's replicas, or a predictor in this process."""

    models: Mapping[str, Model]  # by id, the default first

    async def draw(self, job: Job) -> Drawn:
        """The picture; raises one of the errors below."""
        ...

    async def annotate(self, look: Look) -> Found:
        """The person in a raw photo; raises one of the errors below."""
        ...

    async def replicas(self) -> Replicas:
        """Of the painters."""
        ...


class RequestError(ValueError):
    """A request that cannot be served: the HTTP status, the field at fault, and what to do."""

    def __init__(self, field: str, message: str, status: int = 422):
        super().__init__(field, message, status)
        self.field, self.message, self.status = field, message, status

    def __str__(self) -> str:
        return f"`{self.field}`: {self.message}"


class BusyError(RuntimeError):
    """Nobody can draw it now; the caller may try again after `retry_after_s` seconds."""

    status = 503

    def __init__(self, reason: str = "the queue is full", retry_after_s: int = 1):
        super().__init__(reason, retry_after_s)
        self.reason, self.retry_after_s = reason, retry_after_s

    def __str__(self) -> str:
        return f"{self.reason}; try again in {self.retry_after_s} s"


class LimitError(BusyError):
    """The caller has had all that its key allows, for now."""

    status = 429


class DeadlineError(TimeoutError):
    """The deadline passed before the picture was drawn."""

    status = 504
