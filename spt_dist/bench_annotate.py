"""How good an annotator is on people whose joints and maps are known, and what its errors cost a drawn picture.

It is given the raw photos of a folder's split, nothing of what is known. A photo in which it finds nobody counts as one
without a joint and without a person's pixel. Then a model draws each person in their own pose, once from what is known
and once from what was found, in one and the same frame: how like are the two, and how like the photo?
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from rich.table import Table

from spt_dist import metrics
from spt_dist.annotate.annotation import Annotation, Annotator
from spt_dist.annotate.scoring import GROUPS, Score, score
from spt_dist.body import MISSING, Joint
from spt_dist.data.frame import frame, move, window
from spt_dist.data.importers import read_folder
from spt_dist.data.schema import DataError, Sample
from spt_dist.infer import Predictor
from spt_dist.region_metrics import ssim_inside

GIVEN, FOUND = "from what is known", "from what was found"


class Found(NamedTuple):
    """A sample and what was found in its picture; an annotation without a joint and a pixel where nobody was."""

    sample: Sample
    made: Annotation
    seconds: float
    refused: str  # why nobody was found, or empty


class Drawn(NamedTuple):
    """Mean scores of people drawn in their own pose, by what they were drawn from; `each_other` of the two."""

    by_source: dict[str, dict[str, float]]
    each_other: float
    pictures: int


def find(annotator: Annotator, folder: Path, split: str, most: int | None) -> Iterator[Found]:
    """What is found in the pictures of a split, in the order of its list.

    Raises:
        DataError: a sample of the folder cannot be read.
    """
    for sample in islice(read_folder(folder, split), most):
        if not isinstance(sample, Sample):
            raise DataError(f"`{folder}/{sample.id}`: {sample.reason}; mend it, or take it off the list")
        began, refused = time.process_time(), ""
        try:
            made = annotator.annotate(sample.image)
        except DataError as error:
            made, refused = _nobody(sample), str(error)
        yield Found(sample, made, time.process_time() - began, refused)


def _nobody(sample: Sample) -> Annotation:
    joints = np.full((len(Joint), 3), MISSING, np.float32)
    return Annotation(joints, np.zeros_like(sample.labels), np.zeros(len(Joint), np.float32), (0.0, 0.0, 0.0, 0.0))


def score_found(found: list[Found]) -> Score:
    """Scores over all of them."""
    joints, truth = (
        torch.from_numpy(np.stack(each)) for each in ([f.made.joints for f in found], [f.sample.joints for f in found])
    )
    labels, true_labels = (
        [torch.from_numpy(each)[None] for each in maps]
        for maps in ([f.made.labels for f in found], [f.sample.labels for f in found])
    )
    return score(joints, truth, labels, true_labels)


def draw_found(predictor: Predictor, found: list[Found]) -> Drawn:
    """Each person in whom joints were found, drawn in their own pose from what is known and from what was found."""
    predictor.how, size = "whole", predictor.size
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("photo", "labels", GIVEN, FOUND)}
    for each in found:
        sample = each.sample
        known = frame(sample.image, sample.labels, sample.joints, size)
        at = window(sample.joints, sample.labels.shape, size, "person")
        seen = frame(sample.image, each.made.labels, sample.joints, size).labels, move(each.made.joints, at, size)
        if not seen[1][:, 2].any():
            continue
        columns["photo"].append(known.image)
        columns["labels"].append(known.labels)
        for name, (labels, joints) in {GIVEN: (known.labels, known.joints), FOUND: seen}.items():
            columns[name].append(predictor.generate(known.image, labels, joints, joints).image)
    photo, labels, given, ours = (torch.from_numpy(np.stack(each)) for each in columns.values())
    by_source = {
        name: {
            "SSIM": metrics.ssim(drawn, photo).mean().item(),
            "SSIM inside": ssim_inside(drawn, photo, labels).mean().item(),
            "L1 inside": metrics.l1_inside(drawn, photo, labels).mean().item(),
        }
        for name, drawn in ((GIVEN, given), (FOUND, ours))
    }
    return Drawn(by_source, metrics.ssim(given, ours).mean().item(), len(photo))


def to_tables(found: list[Found], scored: Score, drawn: Drawn | None) -> Iterator[Table]:
    """What was measured, for people to read."""
    refused, seconds = sum(bool(each.refused) for each in found), median(each.seconds for each in found)
    joints = Table(
        title=f"joints, {scored.pictures} pictures, nobody in {refused}; {1000 * seconds:.0f} ms of processor a photo"
    )
    joints.add_column("")
    for group in (*GROUPS, "all"):
        joints.add_column(group, justify="right")
    for near, by_group in scored.pck.items():
        joints.add_row(f"PCK@{near:g} of the torso", *(f"{by_group[group]:.3f}" for group in (*GROUPS, "all")))
    yield joints
    labels = Table(title=f"labels, mIoU {scored.miou:.3f}; invented joints {scored.invented:.3f}")
    for name in scored.iou:
        labels.add_column(name.lower(), justify="right")
    labels.add_row(*(f"{value:.3f}" for value in scored.iou.values()))
    yield labels
    if drawn:
        made = Table(title=f"{drawn.pictures} people drawn in their own pose; SSIM of the two {drawn.each_other:.3f}")
        for heading in ("", *drawn.by_source[GIVEN]):
            made.add_column(heading, justify="right" if heading else "left")
        for name, scores in drawn.by_source.items():
            made.add_row(name, *(f"{value:.3f}" for value in scores.values()))
        yield made


def to_tree(found: list[Found], scored: Score, drawn: Drawn | None, say: Callable[[str], object]) -> dict:
    """The same for programs; whoever nobody was found in is said by name."""
    for each in found:
        if each.refused:
            say(f"{each.sample.id}: {each.refused}")
    pck = {f"PCK@{near:g}": by_group for near, by_group in scored.pck.items()}
    tree = {
        "pictures": scored.pictures,
        "joints": pck,
        "invented": scored.invented,
        "iou": scored.iou,
        "miou": scored.miou,
    }
    return tree | ({"drawn": drawn._asdict()} if drawn else {})
