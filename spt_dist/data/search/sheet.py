"""Pairs to look at: sources with the photos and maps that were found for them.

A good sheet shows people dressed alike who stand clearly otherwise.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from spt_dist import pictures
from spt_dist.data.files import read_tars
from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import Sample, collate, decode
from spt_dist.data.search.blocks import Found
from spt_dist.data.search.index import read_index

SOURCES, MATCHES = 8, 3


def draw_sheet(index: Path, shards: Path, sources: int = SOURCES, matches: int = MATCHES) -> pictures.Picture:
    """Some sources, evenly spread over the index, a row each: photo and map, then those of the best matches."""
    rows, about = read_index(index)
    by_source: dict[str, list[Found]] = {}
    for row in rows:
        by_source.setdefault(row.id, []).append(row)
    names = list(by_source)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(sources, len(names))).round().astype(int)]
    shown = {name: by_source[name][:matches] for name in chosen}
    wanted = {*chosen, *(match.match for found in shown.values() for match in found)}
    samples = _read(shards, about["split"], wanted)
    cells, headings = [], []
    for name, found in shown.items():
        row = _pictures(samples[name], False)
        for match in found:
            row += _pictures(samples[match.match], match.mirrored)
        cells.append(row + [np.full_like(row[0], 255)] * (2 * (matches - len(found))))
        headings.append("\n".join(f"{match.score:.0f} · {match.pose_distance:.2f}" for match in found))
    columns = ["source", "its map"]
    for rank in range(matches):
        columns += [f"match {rank + 1}", "its map"]
    return pictures.grid(cells, columns, headings)


def _pictures(sample: Sample, mirrored: bool) -> list[pictures.Picture]:
    batch = collate([sample])
    if mirrored:
        batch = batch.flip(batch.joints[:, 0, 2] >= 0)  # all of it
    return [batch.images[0].numpy(), pictures.parsing_picture(batch.labels[0].numpy(), height=_height(sample))]


def _height(sample: Sample) -> int:
    return pictures.cell_height((sample.labels.shape[0], sample.labels.shape[1]))


def _read(shards: Path, split: str, wanted: set[str]) -> dict[str, Sample]:
    """The wanted samples; the others are not decoded."""
    found: dict[str, Sample] = {}
    for files in read_tars(Manifest.load(shards).paths(split)):
        about: dict[str, Any] = json.loads(files["json"])
        if about["id"] in wanted:
            found[about["id"]] = decode(files)
    return found
