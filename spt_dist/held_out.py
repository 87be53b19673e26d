"""Held-out pairs, what is drawn for them, and how people look at it.

A pair is a source and a target pose. Where a split holds two pictures of one identity the second is the *true target*,
which unpaired training never saw. Where it does not (unpaired photos), the pose is another person's; then what can be
scored is the reconstruction: the source drawn in its own pose.
"""

import csv
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spt_dist import pictures
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import Batch, DataError, Sample, collate
from spt_dist.infer import Predictor
from spt_dist.models.inputs import one_hot, to_bytes, to_float, to_labels
from spt_dist.regions import flat_fill
from spt_dist.types import ImageBytes

BATCH, GRID_ROWS = 16, 8
TRAINED = "train"  # the split that a run learns from
GENERATED, COPIED, FLAT = "generated", "source copied", "flat colours in the H_S map"
REAL = "the real pictures"
TRUE_TARGET, OWN_POSE = "true target", "own pose"
HEADINGS = ("source", "target pose", "predicted parsing", "generated", "true target")


class Pair(NamedTuple):
    """A source and the picture whose pose it is to take; `true` when that picture shows the same person."""

    source: Sample
    target: Sample
    true: bool


class Chosen(NamedTuple):
    """The pairs that are scored: against true targets where there are any, else against the source in its own pose."""

    pairs: list[Pair]
    against: str

    @classmethod
    def of(cls, pairs: list[Pair]) -> "Chosen":
        """What of `pairs` can be scored."""
        paired = [pair for pair in pairs if pair.true]
        return cls(paired, TRUE_TARGET) if paired else cls([Pair(p.source, p.source, True) for p in pairs], OWN_POSE)


class Drawn(NamedTuple):
    """A batch of pairs with what each variant gives for it."""

    pairs: list[Pair]
    source: Batch
    target: Batch
    variants: dict[str, Tensor]  # uint8 [b, h, w, 3]
    labels: Tensor  # uint8 [b, h, w]: the map that H_S predicted


def make_pairs(samples: list[Sample]) -> Iterator[Pair]:
    """Each sample with the next picture of its identity, or, for people seen once, with the next person's picture."""
    people: dict[str, list[Sample]] = {}
    for sample in samples:
        people.setdefault(sample.identity or sample.id, []).append(sample)
    single = [views[0] for views in people.values() if len(views) == 1]
    for views in people.values():
        if len(views) > 1:
            yield from (Pair(source, target, True) for source, target in zip(views, views[1:] + views[:1], strict=True))
    if len(single) > 1:
        yield from (Pair(source, target, False) for source, target in zip(single, single[1:] + single[:1], strict=True))


def read_pairs(shards: str, split: str, most: int) -> list[Pair]:
    """The first pairs of a split, at most `most`; see `make_pairs`."""
    return list(islice(make_pairs(list(read_split(shards, split))), most))


def read_listed(shards: str, split: str, most: int, file: Path) -> list[Pair]:
    """The pairs that a file lists as `from,to`, such as the `pairs-test.csv` of `spt import`; at most `most`.

    Of more, so many are taken evenly apart, with a warning; one with a picture that the split does not have is left
    out, with a warning. A pair shows one person, as the list says, unless two different identities are known.

    Raises:
        DataError: the file cannot be read, is not of this form, or names no pair of the split.
    """
    listed = _read_names(file)
    named = {name for pair in listed for name in pair}
    samples = {sample.id: sample for sample in read_split(shards, split) if sample.id in named}
    known = [(samples[one], samples[other]) for one, other in listed if one in samples and other in samples]
    if not known:
        first = f"; the first is {listed[0][0]}, {listed[0][1]}" if listed else ""
        raise DataError(
            f"none of the {len(listed):,} pairs of `{file}` is in the {split} split of `{shards}`{first}; name the "
            "list of the folder that was packed"
        )
    if lost := len(listed) - len(known):
        warnings.warn(
            f"{lost:,} of {len(listed):,} pairs of `{file}` name a picture that the {split} split of `{shards}` does "
            "not have (see its rejected.jsonl): they are not scored",
            stacklevel=2,
        )
    if len(known) > most:
        warnings.warn(
            f"{most:,} of {len(known):,} pairs of `{file}` are scored, evenly apart; "
            f"--set evaluation.pairs={len(known)} takes all",
            stacklevel=2,
        )
        known = [known[index * len(known) // most] for index in range(most)]
    return [
        Pair(one, other, not (one.identity and other.identity) or one.identity == other.identity)
        for one, other in known
    ]


def _read_names(file: Path) -> list[tuple[str, str]]:
    """The stems of both names of each line."""
    try:
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig", errors="replace").splitlines()))
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the pairs `{file}`: {error}; `spt import` writes FOLDER/pairs-test.csv") from None
    named = []
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and row == ["from", "to"]):
            continue
        if len(row) != 2:
            raise DataError(f"`{file}` line {number}: expected two names `from,to`, found `{','.join(row)[:80]}`")
        named.append((Path(row[0].strip()).stem, Path(row[1].strip()).stem))
    return named


def read_references(shards: str, most: int = 0) -> Iterator[ImageBytes]:
    """The training split's first pictures, in batches; 0: all of them."""
    samples = read_split(shards, TRAINED)
    kept = islice(samples, most) if most else samples
    while batch := list(islice(kept, BATCH)):
        yield torch.from_numpy(np.stack([sample.image for sample in batch]))


def draw(predictor: Predictor, pairs: list[Pair]) -> Drawn:
    """Every variant's pictures for a batch of pairs."""
    source, target = collate([pair.source for pair in pairs]), collate([pair.target for pair in pairs])
    on_device = source.to(predictor.device)
    image, parsing = predictor.draw(
        on_device.images, on_device.labels, on_device.joints, target.joints.to(predictor.device)
    )
    image, labels = image.cpu(), to_labels(parsing).cpu()
    flat = flat_fill(to_float(source.images), one_hot(source.labels), one_hot(labels))
    variants = {GENERATED: to_bytes(image), COPIED: source.images, FLAT: to_bytes(flat)}
    return Drawn(pairs, source, target, variants, labels)


def draw_grid(drawn: Drawn) -> Any:
    """The first pairs as people look at them; a true target only where all have one."""
    shown = len(HEADINGS) if all(pair.true for pair in drawn.pairs) else len(HEADINGS) - 1
    rows = [picture_row(drawn, slot)[:shown] for slot in range(min(GRID_ROWS, len(drawn.pairs)))]
    turns = [
        f"{pictures.view_label(pair.source.joints)}\nto {pictures.view_label(pair.target.joints)}"
        for pair in drawn.pairs[:GRID_ROWS]
    ]
    return pictures.grid(rows, HEADINGS[:shown], turns)


def picture_row(drawn: Drawn, slot: int) -> list[Any]:
    """The pictures under `HEADINGS` for one pair."""
    pair, size = drawn.pairs[slot], (drawn.labels.shape[1], drawn.labels.shape[2])
    height = pictures.cell_height(size)
    return [
        pair.source.image,
        pictures.skeleton_picture(pair.target.joints, size, height=height),
        pictures.parsing_picture(drawn.labels[slot].numpy(), height=height),
        drawn.variants[GENERATED][slot].numpy(),
        pair.target.image,
    ]
