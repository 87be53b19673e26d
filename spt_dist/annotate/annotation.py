"""What is found in a photo, and the one interface of whoever finds it: our own nets, or models that are brought.

Everything is in px of the photo as it was given, upright; joints are in the order of `body.Joint`, eyes and ears by
their place as in the field's files (`data.sources.orders` says which is whose).
"""

from dataclasses import dataclass
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from spt_dist.data.schema import DataError


@dataclass(frozen=True, eq=False)
class Annotation:
    """A person in a photo.

    `joints` are (x_px, y_px, visible), a missing one (-1, -1, 0); `labels` are those of `body.Label`, of the photo's
    size; `confidence` is 0 to 1 a joint, also of those that are called missing; `box` is x0, y0, x1, y1 in px.
    """

    joints: Float32[np.ndarray, "18 3"]
    labels: UInt8[np.ndarray, "h w"]
    confidence: Float32[np.ndarray, "18"]
    box: tuple[float, float, float, float]


@runtime_checkable
class Annotator(Protocol):
    """Whoever annotates; `name` says who that is, with a hash or a version."""

    @property
    def name(self) -> str:
        """As `import.json` repeats it."""
        ...

    def annotate(self, photo: np.ndarray) -> Annotation:
        """The person in a photo, uint8 RGB [h, w, 3]; `DataError` when nobody is found in it."""
        ...


class NobodyError(DataError):
    """An annotator has looked at a photo, and nobody is in it."""


def nobody(why: str) -> NoReturn:
    """Refuse a photo; whoever knows its name puts that in front."""
    raise NobodyError(f"no person found in the photo: {why}; give its joints and its parsing map")
