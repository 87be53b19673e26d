"""The people that benchmarks run on: label maps, poses, and how parts move from one pose into another.

How fast an op is depends on where the people are. `people.npz` holds eight drawn ones; `--scene` takes others, for
example real photos by way of `python -m spt_dist.bench_scene`. All are of pictures of 256x256 px.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PEOPLE = Path(__file__).with_name("people.npz")
FIELDS = {  # name: (dtype, shape behind the number of people)
    "labels": (np.uint8, (256, 256)),
    "joints": (np.float32, (18, 2)),
    "visible": (np.bool_, (18,)),
    "transforms": (np.float32, (10, 2, 3)),
    "quads": (np.float64, (10, 4, 2)),
}


class Scene(NamedTuple):
    """One batch of people at one size of picture."""

    labels: Tensor
    joints: Tensor
    visible: Tensor
    transforms: Tensor
    quads: Tensor


def load(path: Path, batch: int, size: tuple[int, int]) -> Scene:
    """The first `batch` people, over again where there are fewer, at (height, width) px.

    Raises:
        ValueError: the file holds no such people.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in FIELDS}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"`{path}` holds no people ({error}); make one: python -m spt_dist.bench_scene") from error
    for name, (dtype, shape) in FIELDS.items():
        if arrays[name].dtype != dtype or arrays[name].shape[1:] != shape or not len(arrays[name]):
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            raise ValueError(f"`{name}` in `{path}` must be {np.dtype(dtype)} (n, {str(shape)[1:]}, found {found}")
    labels, joints, visible, transforms, quads = (
        torch.from_numpy(array[np.arange(batch) % len(array)]) for array in arrays.values()
    )
    down, across = 256 // size[0], 256 // size[1]
    scale = torch.tensor([size[1] / 256, size[0] / 256], dtype=torch.float64)
    transforms = torch.cat([transforms[..., :2] * scale[:, None].float() / scale.float(),
                            transforms[..., 2:] * scale[:, None].float()], dim=-1)  # fmt: skip
    return Scene(
        labels[:, ::down, ::across][:, : size[0], : size[1]].contiguous(),
        joints * scale.float(),
        visible,
        transforms,
        (quads + 0.5) * scale - 0.5,
    )
