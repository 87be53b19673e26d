"""What a client sends: a call is a path, its fields, and the headers that stay the same however often it is sent."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from uuid import uuid4

import numpy as np
from PIL import Image

File: TypeAlias = bytes | str | Path | np.ndarray  # a file's bytes, its path, or pixels
Joints: TypeAlias = Sequence[Sequence[float] | None] | np.ndarray


class Pose(NamedTuple):
    """18 joints [x, y, visible] or None; `size` (height, width) of their picture, if not the person's photo."""

    joints: Joints
    size: tuple[int, int] | None = None

    @property
    def tree(self) -> Any:
        """As JSON."""
        joints = [None if each is None else [float(value) for value in each] for each in self.joints]
        return {"joints": joints, "size": [int(side) for side in self.size]} if self.size else joints


class Person(NamedTuple):
    """A photo, its parsing map (one channel, labels 0 to 9), and the joints in px of the photo.

    What is left out the endpoint finds in the photo.
    """

    image: File
    parsing: File | None = None
    joints: Joints | None = None


class Call(NamedTuple):
    """A request; sent twice it is still the same one, drawn once."""

    path: str
    fields: dict[str, Any]
    key: str

    @classmethod
    def of(cls, operation: str, person: Person, fields: dict[str, Any]) -> "Call":
        """A call of an operation for a person; fields that are None are left out."""
        sent = person_fields(person) | fields
        given = {name: value for name, value in sent.items() if value is not None}
        return cls(f"/v1/{operation}", given, uuid4().hex)


def person_fields(person: Person, prefix: str = "") -> dict[str, Any]:
    """A person as fields of a request, `prefix` in front of their names; None for what is not given."""
    return {
        f"{prefix}image": as_base64(person.image),
        f"{prefix}parsing": None if person.parsing is None else as_base64(person.parsing),
        f"{prefix or 'source_'}joints": None if person.joints is None else Pose(person.joints).tree,
    }


def pose_fields(pose: "Pose | File") -> dict[str, Any]:
    """The wanted pose: joints, or a photo of somebody in it."""
    return {"target_joints": pose.tree} if isinstance(pose, Pose) else {"target_image": as_base64(pose)}


def as_base64(file: File) -> str:
    """A file for JSON; pixels go as PNG.

    Raises:
        OSError: there is no such file.
    """
    if isinstance(file, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(file).save(buffer, "PNG")
        file = buffer.getvalue()
    elif not isinstance(file, bytes):
        file = Path(file).read_bytes()
    return base64.b64encode(file).decode("ascii")
