"""Decoding with NVIDIA DALI: the only door to `nvidia.dali`.

DALI is given the samples' bytes and decodes and batches them in its own threads, ahead of the training: on the CPU when
the plan's device is `cpu`, else JPEGs are decoded on the GPU and batches are born there.

DALI cannot leave out a broken sample: it gives up the whole batch. So what it is given is what was packed (`files`),
and each file begins and ends as its format wants; for the rest others stand in (`lost`).
"""

import importlib.util
import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from spt_dist.body import Joint
from spt_dist.data.lost import Readable
from spt_dist.data.plan import Numbers, Plan
from spt_dist.data.schema import NPY_HEADER_BYTES, Batch, DataError, read_about, read_joints

MOST_THREADS = 4
KEYS = ("jpg", "parsing.png", "pose.npy")  # what DALI decodes; names are read here
ENDS = {"jpg": (b"\xff\xd8", b"\xff\xd9"), "parsing.png": (b"\x89PNG", b"IEND\xaeB`\x82")}


class _Encoded(NamedTuple):
    """A sample's name, and its files in the order of `KEYS`."""

    id: str
    files: list[np.ndarray]


def available() -> bool:
    """Whether DALI is installed here."""
    try:
        return importlib.util.find_spec("nvidia.dali") is not None
    except ModuleNotFoundError:  # not even the `nvidia` namespace
        return False


def decode(plan: Plan, numbers: Numbers) -> Iterator[Batch]:
    """See `Decode`; `DataError` when more samples are lost than `lost` forgives, or DALI gives up at another."""
    samples, waiting = Readable(plan), deque[list[str]]()
    use = partial(_take, size=plan.manifest.size)

    def feed() -> tuple[list[np.ndarray], ...]:
        read = [samples.read(number, use) for number in next(numbers)]
        waiting.append([each.id for each in read])
        return tuple([each.files[position] for each in read] for position in range(len(KEYS)))

    pipeline, device = _build(plan, feed), torch.device(plan.device)
    while True:
        try:
            if device.type == "cpu":
                images, labels, joints = pipeline.run()
            else:  # on our stream: DALI then takes its memory back in that stream's order, after our copies
                images, labels, joints = pipeline.run(cuda_stream=torch.cuda.current_stream(device).cuda_stream)
        except RuntimeError as error:
            names = "`, `".join(waiting.popleft())
            where = f"one of `{names}` in `{plan.manifest.folder}`"
            raise DataError(f"DALI cannot read {where}; pack the shards again. {error}") from error
        yield Batch(waiting.popleft(), _tensor(images), _tensor(labels)[..., 0], _tensor(joints))


def _take(files: dict[str, Any], size: tuple[int, int]) -> _Encoded:
    """What DALI is given of a sample; `DataError` for what it would give up at."""
    about = read_about(files)
    read_joints(files)
    if tuple(about["size"]) != size:
        raise DataError(f"`{about['id']}` is {about['size']} px, the manifest says {size}; pack the shards again")
    for key, (begin, end) in ENDS.items():
        if not (files[key].startswith(begin) and files[key].endswith(end)):
            raise DataError(f"`{about['id']}.{key}` is not an image that can be decoded ({len(files[key])} bytes)")
    return _Encoded(about["id"], [np.frombuffer(files[key], np.uint8) for key in KEYS])


def _build(plan: Plan, feed: Any) -> Any:
    """The pipeline: images uint8 [b, h, w, 3], labels uint8 [b, h, w, 1], joints float32 [b, 18, 3]."""
    from nvidia import dali
    from nvidia.dali.pipeline import Pipeline

    fn: Any = dali.fn  # both are filled when DALI loads its library, unseen by a type checker
    types: Any = dali.types
    device = torch.device(plan.device)
    on_gpu = device.type == "cuda"
    pipeline = Pipeline(
        batch_size=plan.batch,
        num_threads=max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // plan.ranks)),
        device_id=(device.index or 0) if on_gpu else None,
    )
    with pipeline:
        jpg, png, npy = fn.external_source(feed, num_outputs=len(KEYS), batch=True, dtype=types.UINT8, ndim=1)
        images = fn.decoders.image(jpg, device="mixed" if on_gpu else "cpu", output_type=types.RGB)
        labels = fn.decoders.image(png, device="cpu", output_type=types.GRAY)
        joints = fn.reinterpret(npy[NPY_HEADER_BYTES:], shape=[len(Joint), 3], dtype=types.FLOAT)
        if on_gpu:
            labels, joints = labels.gpu(), joints.gpu()
        pipeline.set_outputs(images, labels, joints)
    pipeline.build()
    return pipeline


def _tensor(batch: Any) -> torch.Tensor:
    """Our own copy: DALI reuses its memory for the next batch."""
    return torch.from_dlpack(batch.as_tensor()).clone()
