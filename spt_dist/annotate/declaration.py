"""What a user says of the models that annotate: one TOML, one table a model.

    [pose]
    file = "rtmpose.onnx"            # beside this file
    size = [256, 192]                # height, width of its input
    mean = [123.675, 116.28, 103.53] # of values 0 to 255, in the order of `channels`
    std = [58.395, 57.12, 57.375]
    output = "simcc"                 # or "heatmaps"
    order = "coco-17"                # of its joints, as of `spt import --order`

    [parsing]
    file = "schp.onnx"
    size = [473, 473]
    labels = "lip-20"                # as of `spt import --labels`

    [detector]                       # without one the pose model's own box
    file = "detector.onnx"
    size = [640, 640]

An unknown key, a wrong type or a value out of range is refused by the key's path, with what is allowed.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from spt_dist.config import STRICT, ConfigError, Count, Fraction
from spt_dist.data.sources.merges import MERGES
from spt_dist.data.sources.orders import ORDERS

Colour = tuple[float, float, float]
Deviation = Annotated[float, Field(gt=0)]


def _one_of(allowed: Iterable[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError(f"give one of {', '.join(allowed)}")
        return name

    return AfterValidator(check)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Net:
    """An ONNX file with one picture as input, and how that wants to be made."""

    file: str  # relative to the TOML
    sha256: str = ""  # of the file; another is refused
    size: tuple[Count, Count]  # height, width in px
    mean: Colour = (0.0, 0.0, 0.0)  # of values 0 to 255
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    border: Colour = (0.0, 0.0, 0.0)  # RGB 0 to 255 beyond the photo's edge
    tensors: tuple[str, ...] = ()  # which of its outputs, in this order; all without


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Pose(Net):
    """A pose model: two tensors of SimCC, x and y, or one of heat maps."""

    output: Literal["simcc", "heatmaps"]
    order: Annotated[str, _one_of(ORDERS)]
    split_ratio: Annotated[float, Field(gt=0)] = 2.0  # bins of SimCC a px
    # How a heat map's cells lie: the first on the input's first px, as most train; centred; both ends on both ends.
    align: Literal["origin", "centres", "ends"] = "origin"
    seen_above: Fraction = 0.3  # the confidence that a joint needs


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Parsing(Net):
    """A parser: scores [1, classes, h, w] of any size, or a map of class numbers [1, h, w]."""

    labels: Annotated[str, _one_of(MERGES)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Detector(Net):
    """A detector: rows [x0, y0, x1, y1, score, class] in px of its input, the class left out or a tensor of its own."""

    threshold: Fraction = 0.5
    person: Annotated[int, Field(ge=0)] = 0  # the class


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Models:
    """The whole file."""

    pose: Pose
    parsing: Parsing
    detector: Detector | None = None


TABLES = {"pose": Pose, "parsing": Parsing, "detector": Detector}


def read_models(path: Path) -> Models:
    """The declared models; `ConfigError` names each key that cannot be used."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the models `{path}`: {error.strerror}; docs/annotate.md shows one") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigError(f"`{path}` is not valid TOML: {error}") from None
    try:
        return TypeAdapter(Models).validate_python(tree)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ConfigError(f"`{path}` has {len(lines)} problem(s):\n  " + "\n  ".join(lines)) from None


def _explain(problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    key, table = ".".join(place), TABLES.get(place[0])
    known = ", ".join(field.name for field in fields(table)) if table and len(place) > 1 else ", ".join(TABLES)
    if problem["type"] == "missing":
        return f"`{key}` is missing; there are {known}"
    if problem["type"] == "unexpected_keyword_argument":
        return f"`{key}` is no key; there are {known}"
    said = problem["msg"].removeprefix("Value error, ")
    return f"`{key}` = {problem['input']!r}: {said}"
