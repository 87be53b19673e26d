"""Models that users bring, joined: who is where, in which pose, and which pixel is what.

With a detector the largest person that it is sure of counts. Without one the pose model looks at the whole photo, and
again at the box of the joints that it saw, with a margin around. The parser looks at the person's box, grown as for the
pose, and its classes become our ten labels by the tables that `spt import` uses.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spt_dist.annotate.annotation import Annotation, nobody
from spt_dist.annotate.backend import Session
from spt_dist.annotate.crop import GROW, Box, clip, view, whole
from spt_dist.annotate.declaration import Detector, Models, Parsing, Pose, read_models
from spt_dist.annotate.decode import from_heatmaps, from_simcc
from spt_dist.data.frame import MARGIN
from spt_dist.data.schema import ImageArray, JointArray, LabelArray
from spt_dist.data.sources.frames import inside
from spt_dist.data.sources.merges import MERGES, merge
from spt_dist.data.sources.orders import ORDERS, to_field

LEAST_JOINTS = 3  # of a person


class OnnxAnnotator:
    """The models of one TOML."""

    def __init__(self, models: Models, folder: Path, name: str, threads: int = 0):
        self.models = models
        self.pose = Session("pose", models.pose, folder, threads)
        self.parsing = Session("parsing", models.parsing, folder, threads)
        self.detector = Session("detector", models.detector, folder, threads) if models.detector else None
        used = {session.table: session for session in (self.pose, self.parsing, self.detector) if session}
        self.name = " ".join([name, *(f"{table}:{session.digest}" for table, session in used.items())])

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> "OnnxAnnotator":
        """Open what a TOML declares.

        Raises:
            ConfigError: a key of the file cannot be used.
            DataError: a model is missing, or not what is declared.
        """
        models, digest = read_models(path), hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(models, path.parent, f"{path.name}:{digest}", threads)

    def annotate(self, photo: ImageArray) -> Annotation:
        """The person in a photo; `DataError` when nobody is found."""
        if self.detector and self.models.detector:
            box = clip(detected(self.detector, self.models.detector, photo), photo)
            joints, confidence = self._joints(photo, box, GROW)
        else:
            first, _ = self._joints(photo, whole(photo), 1.0)
            joints, confidence = self._joints(photo, clip(box_of(first), photo), GROW)
            box = clip(box_of(joints), photo)
        labels = self._labels(photo, box, joints)
        if not labels.any():
            nobody("the parser sees background alone")
        return Annotation(joints, labels, confidence, box)

    def _joints(self, photo: ImageArray, box: Box, grow: float) -> tuple[JointArray, np.ndarray]:
        """The joints in px of the photo, and the confidence of each."""
        declared, seen = self.models.pose, view(box, self.models.pose.size, grow)
        found = points(self.pose, declared, self.pose.run(seen.picture(photo, declared.border)))
        confidence = found[:, 2].copy()
        found[:, :2] = seen.to_photo(found[:, :2])
        found[:, 2] = confidence > declared.seen_above
        joints = inside(to_field(found, declared.order), (photo.shape[0], photo.shape[1]))
        if (count := int((joints[:, 2] > 0).sum())) < LEAST_JOINTS:
            sure = f"`pose.seen_above` = {declared.seen_above:g}"
            nobody(f"the pose model is sure of {count} joints ({sure}), {LEAST_JOINTS} make a person")
        # As coordinates, confidences are put into our order by the same table, the neck's between the shoulders'.
        ordered = to_field(np.column_stack((confidence, confidence, np.ones(len(confidence)))), declared.order)
        return joints, ordered[:, 0].clip(0, 1)

    def _labels(self, photo: ImageArray, box: Box, joints: JointArray) -> LabelArray:
        declared, size = self.models.parsing, (photo.shape[0], photo.shape[1])
        seen = view(box, declared.size)
        found = self.parsing.run(seen.picture(photo, declared.border))
        scores = _parsed(self.parsing, declared, found)
        on_photo = seen.map_on_photo(scores, size) if scores.ndim == 2 else seen.classes_on_photo(scores, size)
        return merge(on_photo, declared.labels, joints)


def points(session: Session, declared: Pose, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """x, y in px of the input and confidence of each joint of the declared order."""
    count, arrays = len(ORDERS[declared.order].joints), list(found.values())
    if declared.output == "simcc":
        if len(arrays) != 2 or any(each.ndim != 3 or each.shape[:2] != (1, count) for each in arrays):
            raise session.refuse(f"x [1, {count}, bins] and y [1, {count}, bins], joints of {declared.order}", found)
        return from_simcc(arrays[0][0].astype(float), arrays[1][0].astype(float), declared.split_ratio)
    if arrays[0].ndim != 4 or arrays[0].shape[:2] != (1, count):
        raise session.refuse(f"heat maps [1, {count}, h, w] of the joints of {declared.order}", found)
    return from_heatmaps(arrays[0][0].astype(float), declared.size, declared.align)


def detected(session: Session, declared: Detector, photo: ImageArray) -> Box:
    """The largest box of a person in px of the photo; `DataError` without any."""
    seen = view(whole(photo), declared.size, 1.0)
    found = session.run(seen.picture(photo, declared.border))
    arrays = [each[0] if each.ndim > 1 and each.shape[0] == 1 else each for each in found.values()]
    rows = next((each for each in arrays if each.ndim == 2 and each.shape[1] in (5, 6)), None)
    if rows is None:
        raise session.refuse("rows [n, 5 or 6] of x0, y0, x1, y1, score and perhaps class", found)
    apart = next((each for each in arrays if each.shape == (len(rows),)), np.full(len(rows), declared.person))
    classes = rows[:, 5] if rows.shape[1] == 6 else apart
    people = rows[(rows[:, 4] >= declared.threshold) & (classes == declared.person)]
    if not len(people):
        best = f"{float(rows[:, 4].max()):.2f}" if len(rows) else "none"
        nobody(f"no box of class {declared.person} reaches `detector.threshold` = {declared.threshold:g} (best {best})")
    sides = people[:, 2:4] - people[:, :2]
    edges = people[sides.prod(1).argmax(), :4].astype(float).reshape(2, 2)
    (x0, y0), (x1, y1) = (seen.to_photo(edges - 0.5) + 0.5).tolist()
    return x0, y0, x1 - 1, y1 - 1


def box_of(joints: JointArray) -> Box:
    """The person's box by its joints: theirs and a margin for hair, hands and feet."""
    xy = joints[joints[:, 2] > 0, :2]
    low, high = xy.min(0), xy.max(0)
    reach = MARGIN * float((high - low).max())
    x0, y0, x1, y1 = np.concatenate((low - reach, high + reach)).tolist()
    return x0, y0, x1, y1


def _parsed(session: Session, declared: Parsing, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores [classes, h, w], or classes [h, w]."""
    chosen = next(iter(found.values()))
    count = len(MERGES[declared.labels].classes)
    if chosen.ndim == 4 and chosen.shape[:2] == (1, count):
        return chosen[0]
    if chosen.ndim == 3 and len(chosen) == 1:
        return np.round(chosen[0]).astype(np.int64)
    raise session.refuse(f"scores [1, {count}, h, w] of {declared.labels}, or classes [1, h, w]", found)
