"""What the endpoint can be asked for: a table of operations, each with its fields, and how fields become orders.

Every operation takes the same fields as `multipart/form-data` (files as files, joints as JSON text) and as
`application/json` (files as base64, joints as JSON). Both become `Parts`, bytes and text by name, before anything is
read; the OpenAPI document is written from the same tables.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from spt_dist import config
from spt_dist.applications import parse_labels
from spt_dist.body import CLOTHING_LABELS, Joint, Label
from spt_dist.edits import EDITS, edit_labels
from spt_dist.provenance import encode
from spt_dist.serve.answers import FORMATS, as_text
from spt_dist.serve.orders import EditOrder, Order, PoseOrder, RequestError, Source, TransferOrder
from spt_dist.serve.request import check_same_size, read_joints, read_labels, read_poses, read_source

Parts: TypeAlias = Mapping[str, bytes | str]
Kind = Literal["file", "json", "text"]

POSE_EXAMPLE = [
    [32, 11, 1], [32, 19, 1], [26, 20, 1], [22, 32, 1], [20, 44, 1], [38, 20, 1], [42, 32, 1], [44, 44, 1],
    [28, 47, 1], [27, 66, 1], [26, 86, 1], [36, 47, 1], [37, 66, 1], [38, 86, 1], [34, 9, 1], [30, 9, 1],
    [36, 10, 1], None,
]  # fmt: skip

LARGEST_SEED = 2**32 - 1
EXAMPLE_SIZE = (96, 64)  # height, width in px of the examples' pictures


def _example(pixels: np.ndarray) -> str:
    return as_text(encode(pixels, "png"))


_PHOTO = _example(np.full((*EXAMPLE_SIZE, 3), 180, np.uint8))
_MAP = _example(np.repeat([[Label.UPPER], [Label.PANTS]], 48, 0).astype(np.uint8).repeat(EXAMPLE_SIZE[1], 1))
_JOINT = {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 3}
_JOINTS = {"type": "array", "items": _JOINT, "minItems": len(Joint), "maxItems": len(Joint)}
_SIDE = {"type": "integer", "minimum": 1, "maximum": 10_000}
_SIZED = {
    "type": "object",
    "properties": {
        "joints": _JOINTS,
        "size": {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2},
    },
    "required": ["joints"],
}
_POSE = {"anyOf": [_JOINTS, _SIZED]}
_CLOTHES = ",".join(label.name.lower() for label in CLOTHING_LABELS)


class Field(NamedTuple):
    """A field of a request: a file, JSON, or text; `schema` and `example` are of its JSON form."""

    kind: Kind
    help: str
    schema: Mapping[str, Any] = {"type": "string"}
    example: Any = None


def _joints(whose: str) -> Field:
    rows = f"{len(Joint)} times [x, y, visible] or null, as in `/v1/body`"
    help = f"the joints of {whose} in px of the photo: {rows}; without them the photo is annotated"
    return Field("json", help, _JOINTS, POSE_EXAMPLE)


FIELDS: Mapping[str, Field] = {
    "image": Field("file", "the photo: JPEG, PNG or WebP", example=_PHOTO),
    "parsing": Field(
        "file",
        "its parsing map: PNG, one channel, labels 0 to 9, of the photo's size; without it the photo is annotated",
        example=_MAP,
    ),
    "source_joints": _joints("the person"),
    "target_joints": Field(
        "json",
        'the wanted pose, as `source_joints`; or {"joints": [...], "size": [height, width]} if its px are those of a '
        "picture of another size",
        _POSE,
        POSE_EXAMPLE,
    ),
    "target_image": Field("file", "or a photo of somebody in the wanted pose, which is annotated"),
    "poses": Field(
        "json",
        "a list of poses, each as `target_joints`",
        {"type": "array", "items": _POSE, "minItems": 1},
        [POSE_EXAMPLE],
    ),
    "giver_image": Field("file", "the photo of whoever gives the clothes", example=_PHOTO),
    "giver_parsing": Field("file", "its parsing map", example=_MAP),
    "giver_joints": _joints("the giver"),
    "labels": Field("text", "what to take over, by names of `/v1/body`, with commas", example=_CLOTHES),
    "edit": Field("text", "a named edit of the parsing map", {"type": "string", "enum": list(EDITS)}, "pants-to-skirt"),
    "new_parsing": Field("file", "or the whole edited map: PNG, as `parsing`"),
    "model": Field("text", "one of `/v1/models`; the first without"),
    "format": Field("text", "of the picture", {"type": "string", "enum": list(FORMATS)}, "png"),
    "seed": Field(
        "text",
        "of the noise that the picture is drawn with: the same seed, the same picture; none without. "
        "A model that has learned without noise (`/v1/models` says so) draws the same picture under every seed",
        {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED},
        7,
    ),
}
PERSON, FOUND = ("image",), ("parsing", "source_joints")  # of the person: what must be sent, what may be annotated
GIVER, GIVER_FOUND = ("giver_image",), ("giver_parsing", "giver_joints")
OPTIONS = ("model", "format", "seed")


class Operation(NamedTuple):
    """Something to ask for: its path, its fields, and how they become orders (more than one for several poses).

    `wanted` is the end of a command that asks for it with curl.
    """

    path: str
    summary: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Parts, config.Serve], list[Order]]
    wanted: str

    @property
    def name(self) -> str:
        """The path's last word."""
        return self.path.rpartition("/")[2]

    @property
    def command(self) -> str:
        """The operation asked for on a command line."""
        known = " -F parsing=@person.png -F 'source_joints=<person.json'" if "parsing" in self.fields else ""
        person = f"-F image=@person.jpg{known}"
        return f"curl http://127.0.0.1:8000{self.path} --fail-with-body \\\n  {person} \\\n  {self.wanted}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Required ones first."""
        return self.required + self.optional


def read_pose(parts: Parts, limits: config.Serve) -> list[Order]:
    """One person in one pose."""
    target, size = read_joints("target_joints", text(parts, "target_joints"))
    return [PoseOrder(_person(parts, limits), target, size)]


def read_many_poses(parts: Parts, limits: config.Serve) -> list[Order]:
    """One person in several poses."""
    poses = read_poses(text(parts, "poses"), max_poses=limits.max_poses)
    source = _person(parts, limits)
    return [PoseOrder(source, joints, size) for joints, size in poses]


def read_transfer(parts: Parts, limits: config.Serve) -> list[Order]:
    """One person in another's clothes."""
    try:
        labels = parse_labels(text(parts, "labels", _CLOTHES))
    except ValueError as error:
        raise RequestError("labels", str(error)) from None
    wearer = _person(parts, limits)
    giver = _person(parts, limits, prefix="giver_")
    return [TransferOrder(wearer, giver, frozenset(labels))]


def read_edit(parts: Parts, limits: config.Serve) -> list[Order]:
    """One person with another parsing map, by a named edit or by a map."""
    if ("edit" in parts) == ("new_parsing" in parts):
        raise RequestError("edit", "or `new_parsing`: send one of the two")
    source = _person(parts, limits)
    if "new_parsing" in parts:
        labels = read_labels(content(parts, "new_parsing"), max_pixels=limits.max_pixels, field="new_parsing")
        check_same_size(labels, source.image, "new_parsing", "image")
        return [EditOrder(source, labels)]
    try:
        return [EditOrder(source, edit_labels(text(parts, "edit"), source.labels, source.joints))]
    except ValueError as error:
        raise RequestError("edit", str(error)) from None


def read_nothing(parts: Parts, limits: config.Serve) -> list[Order]:
    """Nothing is drawn."""
    return []


def text(parts: Parts, field: str, default: str | None = None) -> str:
    """A text or JSON field; `RequestError` when it is missing or a file."""
    part = parts.get(field, default)
    if part is None:
        raise RequestError(field, "is missing; /docs lists the fields of a request")
    if isinstance(part, bytes):
        raise RequestError(field, "is a file; send text (with curl: `=<file`, not `=@file`)")
    return part


def content(parts: Parts, field: str) -> bytes:
    """A file; `RequestError` when it is missing or text."""
    part = parts.get(field)
    if part is None:
        raise RequestError(field, "is missing; /docs lists the fields of a request")
    if isinstance(part, str):
        raise RequestError(field, "is text; send a file (with curl: `=@file`)")
    return part


def _person(parts: Parts, limits: config.Serve, prefix: str = "") -> Source:
    image, parsing = content(parts, f"{prefix}image"), content(parts, f"{prefix}parsing")
    joints = text(parts, f"{prefix or 'source_'}joints")
    return read_source(image, parsing, joints, max_pixels=limits.max_pixels, prefix=prefix)


GENERATE = Operation(
    "/v1/generate",
    "Draw the person in the wanted pose",
    PERSON,
    (*FOUND, "target_joints", "target_image", *OPTIONS),
    read_pose,
    "-F 'target_joints=<pose.json' --output drawn.png",
)
POSES = Operation(
    "/v1/poses",
    "Draw the person in many poses, each sent as it is ready",
    (*PERSON, "poses"),
    (*FOUND, *OPTIONS),
    read_many_poses,
    "-F 'poses=<poses.json' --no-buffer",
)
TRANSFER = Operation(
    "/v1/transfer",
    "Dress the person in another's clothes",
    (*PERSON, *GIVER),
    (*FOUND, *GIVER_FOUND, "labels", *OPTIONS),
    read_transfer,
    "-F giver_image=@other.jpg -F giver_parsing=@other.png -F 'giver_joints=<other.json' --output dressed.png",
)
EDIT = Operation(
    "/v1/edit",
    "Change the person's parsing map and repaint",
    PERSON,
    (*FOUND, "edit", "new_parsing", *OPTIONS),
    read_edit,
    "-F edit=long-sleeves --output edited.png",
)
ANNOTATE = Operation(
    "/v1/annotate",
    "Find the person in a raw photo: joints and parsing map",
    PERSON,
    (),
    read_nothing,
    "--output found.json",
)
