"""Poses from the files in which estimators and benchmarks keep them; every record becomes a row, a bad one too.

- `.csv`: `name:keypoints_y:keypoints_x`, JSON lists, y first, -1 for a missing joint.
- `.json`: COCO's (`images`, `annotations`), or one object `{"NAME.jpg": [[x, y, confidence], ...], ...}`, whose points
  may also be `{"x": .., "y": .., "visibility": ..}` as MediaPipe gives them.
- a folder: OpenPose's `NAME_keypoints.json`, one a photo; of several people the one seen best is taken.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spt_dist.data.schema import DataError
from spt_dist.data.sources.frames import Size
from spt_dist.data.sources.orders import ORDERS
from spt_dist.joints import MAX_COORDINATE_PX

OPENPOSE_ENDING = "_keypoints"
OPENPOSE_ORDERS = {len(ORDERS[order].joints): order for order in ("openpose-18", "openpose-25")}
HEADER = "name:"
SHOWN = 80  # characters of a bad value

Points = Float[np.ndarray, "n 3"]


class Row(NamedTuple):
    """One record: a picture's name with its points in `order`, or the `problem` that it has.

    `frame` is the size of the picture that the px are of, None for the photo's own; `split` is None where the source
    does not say; `people` counts those found in the picture.
    """

    name: str
    where: str
    order: str
    points: Points | None = None
    problem: str = ""
    frame: Size | None = None
    split: str | None = None
    people: int = 1


def read_rows(path: Path, order: str, frame: Size | None = None, split: str | None = None) -> Iterator[Row]:
    """The rows of a file, or of a folder of OpenPose's files, which say their order themselves.

    Raises:
        DataError: there is nothing at `path`, or it is no such file at all.
    """
    if path.is_dir():
        rows = _read_openpose(path)
    elif not path.is_file():
        raise DataError(f"keypoints `{path}` do not exist; name a .csv or .json file, or a folder of OpenPose's JSON")
    elif path.suffix.lower() == ".csv":
        rows = _read_csv(path, order)
    elif path.suffix.lower() == ".json":
        rows = _read_json(path, order)
    else:
        raise DataError(f"keypoints `{path}`: endings are .csv and .json; a folder holds OpenPose's JSON files")
    return (row._replace(frame=frame, split=split) for row in rows)


def _read_csv(path: Path, order: str) -> Iterator[Row]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    content = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    content = [(number, line) for number, line in content if not line.startswith(HEADER)]
    if content and not any(line.count(":") == 2 for _, line in content):
        found = content[0][1][:SHOWN]
        raise DataError(f"`{path}` is no annotation file: expected `name:keypoints_y:keypoints_x`, found `{found}`")
    for number, line in content:
        where = f"{path.name}:{number}"
        try:
            name, ys, xs = line.split(":")
            yield Row(name.strip(), where, order, _from_lists(_json(ys), _json(xs), order))
        except ValueError as error:
            said = str(error) if isinstance(error, DataError) else "expected `name:keypoints_y:keypoints_x`"
            yield Row(line.partition(":")[0].strip(), where, order, problem=f"{said}, found `{line[:SHOWN]}`")


def _from_lists(ys: Any, xs: Any, order: str) -> Points:
    count = len(ORDERS[order].joints)
    if not all(isinstance(values, list) and len(values) == count for values in (ys, xs)):
        raise DataError(f"expected two JSON lists of {count} numbers, y first (joint order {order})")
    points = np.array([[_number(x), _number(y), 1] for x, y in zip(xs, ys, strict=True)], np.float64)
    points[(points[:, :2] < 0).any(1), 2] = 0
    return points


def _read_openpose(folder: Path) -> Iterator[Row]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"`{folder}` holds no .json files; OpenPose writes NAME{OPENPOSE_ENDING}.json for each photo")
    for file in files:
        row = Row(file.stem.removesuffix(OPENPOSE_ENDING), file.name, "openpose-25")
        try:
            tree = _json(file.read_text(encoding="utf-8", errors="replace"))
            people = tree.get("people") if isinstance(tree, dict) else None
            if not isinstance(people, list):
                raise DataError("it has no list `people`; OpenPose's files have one")
            found = [_openpose_person(person) for person in people]
        except DataError as error:
            yield row._replace(problem=str(error))
        else:
            best = max(found, key=lambda points: float(points[:, 2].sum()), default=np.zeros((25, 3)))
            yield row._replace(points=best, order=OPENPOSE_ORDERS[len(best)], people=len(found))


def _openpose_person(person: Any) -> Points:
    flat = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
    if not isinstance(flat, list) or len(flat) % 3 or len(flat) // 3 not in OPENPOSE_ORDERS:
        counts = " or ".join(map(str, OPENPOSE_ORDERS))
        found = f"{len(flat)} numbers" if isinstance(flat, list) else type(flat).__name__
        raise DataError(f"`pose_keypoints_2d` is x, y, confidence of {counts} joints, found {found}")
    return np.array([_number(value) for value in flat], np.float64).reshape(-1, 3)


def _read_json(path: Path, order: str) -> Iterator[Row]:
    try:
        tree = _json(path.read_text(encoding="utf-8", errors="replace"))
    except DataError as error:
        raise DataError(f"`{path}` {error}") from None
    if isinstance(tree, dict) and isinstance(tree.get("annotations"), list) and isinstance(tree.get("images"), list):
        return _coco_rows(tree, path)
    if isinstance(tree, dict):
        return _named_rows(tree, path, order)
    raise DataError(f"`{path}` holds a JSON {type(tree).__name__}; COCO's object or {{NAME: points}} is expected")


def _named_rows(tree: dict[str, Any], path: Path, order: str) -> Iterator[Row]:
    for name, given in tree.items():
        row, count = Row(name, f"{path.name}:{name}", order), len(ORDERS[order].joints)
        try:
            if not isinstance(given, list) or len(given) != count:
                found = f"{len(given)} points" if isinstance(given, list) else type(given).__name__
                raise DataError(f"expected {count} points of the order {order}, found {found}; see --order")
            points = np.array([_named_point(point) for point in given], np.float64)
        except DataError as error:
            yield row._replace(problem=str(error))
        else:
            yield row._replace(points=points)


def _named_point(point: Any) -> list[float]:
    """x, y, confidence of [x, y], [x, y, c], {x, y, visibility} or null."""
    if isinstance(point, dict):
        point = [point.get("x"), point.get("y"), point.get("visibility", 1)]
    if point is None:
        return [-1, -1, 0]
    if not isinstance(point, list) or len(point) not in (2, 3):
        raise DataError(f"a point is [x, y], [x, y, confidence], {{x, y, visibility}} or null, found `{point!s:.40}`")
    return [_number(value) for value in (*point, 1)[:3]]


def _coco_rows(tree: dict[str, Any], path: Path) -> Iterator[Row]:
    """A row per image that has a person, with the one of most seen joints; then the annotations that are of no use."""
    names = {one.get("id"): str(one.get("file_name")) for one in tree["images"] if _hashable_id(one, "id")}
    people: dict[Any, list[Points]] = {}
    for number, annotation in enumerate(tree["annotations"]):
        row = Row("", f"{path.name}:annotations[{number}]", "coco-17")
        try:
            if not _hashable_id(annotation, "image_id") or annotation["image_id"] not in names:
                raise DataError("its `image_id` is none of `images`")
            row = row._replace(name=names[annotation["image_id"]].rpartition("/")[2])
            flat, count = annotation.get("keypoints"), len(ORDERS["coco-17"].joints)
            if not isinstance(flat, list) or len(flat) != 3 * count:
                raise DataError(f"`keypoints` must be x, y, v of {count} joints")
            points = np.array([_number(value) for value in flat], np.float64).reshape(-1, 3)
        except DataError as error:
            yield row._replace(problem=str(error))
        else:
            people.setdefault(annotation["image_id"], []).append(points)
    for image, found in people.items():
        best = max(found, key=lambda points: int((points[:, 2] > 0).sum()))
        name = names[image].rpartition("/")[2]
        yield Row(name, f"{path.name}:{name}", "coco-17", best, people=len(found))


def _hashable_id(record: Any, key: str) -> bool:
    return isinstance(record, dict) and isinstance(record.get(key), int | str)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({error})") from None


def _number(value: Any) -> float:
    """A finite number within reach of a picture."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"expected a number, found `{value!s:.40}`")
    if not -MAX_COORDINATE_PX <= value <= MAX_COORDINATE_PX or not math.isfinite(value):
        raise DataError(f"`{value!s:.40}` is no coordinate: it must be finite and at most {MAX_COORDINATE_PX:,}")
    return float(value)
