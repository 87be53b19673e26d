"""What comes back: pictures, or errors that say whether to wait, to mend the request, or to look at the network."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A picture as a file, and how it came to be; `labels` is its parsing map [h, w]."""

    content: bytes
    labels: np.ndarray
    request_id: str
    timings_s: Mapping[str, float]  # by stage: read, queue, draw, write; cold where a replica had to start
    index: int = 0  # of several poses: which

    @property
    def pixels(self) -> np.ndarray:
        """uint8 RGB [h, w, 3]."""
        return np.asarray(Image.open(io.BytesIO(self.content)).convert("RGB"))

    def save(self, path: str | Path) -> None:
        """Write the file as it came, with what it says of where it comes from."""
        Path(path).write_bytes(self.content)


@dataclass(frozen=True)
class Annotated:
    """The person in a photo: joints [18, 3] (x_px, y_px, visible), labels [h, w], and who says so."""

    joints: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray  # of each joint, 0 to 1
    box: tuple[float, float, float, float]
    annotator: str
    request_id: str


class EndpointError(RuntimeError):
    """No picture; `request_id` is what the endpoint's log knows the request by."""

    def __init__(self, message: str, request_id: str = "") -> None:
        super().__init__(f"{message} [request {request_id}]" if request_id else message)
        self.request_id = request_id


class RefusedError(EndpointError):
    """The request cannot be served as it is: `field` is at fault."""

    def __init__(self, status: int, field: str, message: str, request_id: str) -> None:
        super().__init__(f"`{field}`: {message}" if field else message, request_id)
        self.status, self.field = status, field


class BusyError(EndpointError):
    """The endpoint asked to come back later (503, 429), more often than the client was told to try."""

    def __init__(self, message: str, request_id: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, request_id)
        self.retry_after_s = retry_after_s


class DeadlineError(EndpointError):
    """The picture was not there in time."""


class UnreachableError(EndpointError):
    """Nobody answered."""

    retry_after_s = 0.0


def check(answer: httpx.Response) -> None:
    """Raise what a refusal means; the answer's body has been read."""
    if answer.is_success:
        return
    try:
        problem = answer.json()["error"]
    except (ValueError, KeyError, TypeError):  # whoever is in front of the endpoint
        problem = {"field": "", "message": f"answered {answer.status_code} {answer.reason_phrase}", "request_id": ""}
    message, request_id = problem["message"], problem["request_id"]
    if answer.status_code in (429, 503):
        after = answer.headers.get("retry-after", "1")
        raise BusyError(message, request_id, float(after) if after.isdigit() else 1.0)
    if answer.status_code == 504:
        raise DeadlineError(message, request_id)
    if answer.status_code >= 500:
        raise EndpointError(message, request_id)
    raise RefusedError(answer.status_code, problem["field"], message, request_id)


def picture(answer: httpx.Response) -> Picture:
    """The picture of an answer in JSON."""
    tree = answer.json()
    content, labels = files(tree)
    return Picture(content, labels, tree["request_id"], timings(answer.headers.get("server-timing", "")))


def annotated(answer: httpx.Response) -> Annotated:
    """What a photo shows."""
    tree = answer.json()
    labels = np.asarray(Image.open(io.BytesIO(base64.b64decode(tree["parsing"]))))
    joints, confidence = (np.array(tree[name], np.float32) for name in ("joints", "confidence"))
    x0, y0, x1, y1 = tree["box"]
    return Annotated(joints, labels, confidence, (x0, y0, x1, y1), tree["annotator"], tree["request_id"])


def line(tree: Mapping[str, Any], request_id: str) -> "Picture | EndpointError | None":
    """A line of several poses: a picture, why there is none, or nothing for the last."""
    if "done" in tree:
        return None
    if problem := tree.get("error"):
        if not problem["field"]:  # no fault of the request
            return EndpointError(problem["message"], problem["request_id"])
        return RefusedError(422, problem["field"], problem["message"], problem["request_id"])
    return Picture(*files(tree), request_id, {}, tree["index"])


def files(tree: Mapping[str, Any]) -> tuple[bytes, np.ndarray]:
    """A picture's file and its parsing map."""
    labels = np.asarray(Image.open(io.BytesIO(base64.b64decode(tree["parsing"]))))
    return base64.b64decode(tree["image"]), labels


def timings(header: str) -> dict[str, float]:
    """Seconds by stage, of a `Server-Timing` header."""
    stages = (part.strip().partition(";dur=") for part in header.split(",") if ";dur=" in part)
    return {name: float(ms) / 1e3 for name, _, ms in stages}
