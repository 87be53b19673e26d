"""`python -m spt_dist.bench_scene OUT.npz`: people for the kernels' benchmarks, drawn or from a folder of photos.

The file holds, of pictures of 256x256 px: `labels` uint8 [n 256 256], `joints` [n 18 2], `visible` [n 18], and
`transforms` [n 10 2 3], `quads` [n 10 4 2] of the warp from the next person's pose (drawn: another pose of the same).
"""

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from spt_dist.data.importers import Unreadable, read_folder
from spt_dist.data.synthetic import draw, sample_person, sample_pose
from spt_dist.geometry import part_quads, part_transforms

SIZE = (256, 256)
Figure = tuple[np.ndarray, np.ndarray]  # label map and joints


def make_scene(pairs: Iterator[tuple[Figure, Figure]], out: Path) -> int:
    """Write the people of (target, source) pairs; how many they are."""
    targets, sources = zip(*pairs, strict=True)
    joints, from_joints = (torch.from_numpy(np.stack([joints for _, joints in side])) for side in (targets, sources))
    np.savez_compressed(
        out,
        labels=np.stack([labels for labels, _ in targets]),
        joints=joints[..., :2].numpy(),
        visible=(joints[..., 2] > 0).numpy(),
        transforms=part_transforms(joints, from_joints, SIZE).numpy(),
        quads=part_quads(joints, SIZE).numpy(),
    )
    return len(targets)


def drawn(people: int, seed: int) -> Iterator[tuple[Figure, Figure]]:
    """Two poses of each of `people` persons."""
    for index in range(people):
        rng = np.random.default_rng((seed, index))
        person = sample_person(rng)
        first, second = (draw(person, sample_pose(rng), SIZE) for _ in range(2))
        yield (first.labels, first.joints), (second.labels, second.joints)


def photographed(folder: Path, split: str) -> Iterator[tuple[Figure, Figure]]:
    """Neighbours in a folder's list whose pictures are of the right size."""
    samples = (sample for sample in read_folder(folder, split) if not isinstance(sample, Unreadable))
    figures = ((sample.labels, sample.joints) for sample in samples if sample.labels.shape == SIZE)
    yield from pairwise(figures)


def main(
    out: Path,
    folder: Annotated[Path | None, typer.Option(help="photos at 256x256 px, in the layout of a data set")] = None,
    split: str = "test",
    people: int = 8,
    seed: int = 0,
) -> None:
    """Write OUT with as many people, drawn or the first of a folder's split."""
    pairs = drawn(people, seed) if folder is None else islice(photographed(folder, split), people)
    print(f"{out}: {make_scene(iter(pairs), out)} people")


if __name__ == "__main__":
    typer.run(main)
