"""Decoding with NVIDIA DALI: the only door to `nvidia.dali`.

DALI is given the samples' bytes and decodes and batches them in its own threads, ahead of the training: on the CPU when
the plan's device is `cpu`, else JPEGs are decoded on the GPU and batches are born there.

DALI cannot leave out a broken sample, and decodes a JPEG with flipped bits silently. It relies on `pack`, which decoded
every sample and wrote down the shards' SHA-256: `Manifest.verify` finds out whether they are still the same.
"""

import importlib.util
import json
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from spt_dist.body import Joint
from spt_dist.data.files import Files
from spt_dist.data.plan import Numbers, Plan
from spt_dist.data.schema import NPY_HEADER_BYTES, Batch, DataError

MOST_THREADS = 4
KEYS = ("jpg", "parsing.png", "pose.npy")  # what DALI decodes; names are read here


def available() -> bool:
    """Whether DALI is installed here."""
    try:
        return importlib.util.find_spec("nvidia.dali") is not None
    except ModuleNotFoundError:  # not even the `nvidia` namespace
        return False


def decode(plan: Plan, numbers: Numbers) -> Iterator[Batch]:
    """See `Decode`; `DataError` when DALI cannot read a sample."""
    files, waiting = Files(plan.manifest, plan.split), deque[list[str]]()

    def feed() -> tuple[list[np.ndarray], ...]:
        read = [files.read(number) for number in next(numbers)]
        waiting.append([json.loads(each["json"])["id"] for each in read])
        return tuple([np.frombuffer(each[key], np.uint8) for each in read] for key in KEYS)

    pipeline, device = _build(plan, feed), torch.device(plan.device)
    while True:
        try:
            if device.type == "cpu":
                images, labels, joints = pipeline.run()
            else:  # on our stream: DALI then takes its memory back in that stream's order, after our copies
                images, labels, joints = pipeline.run(cuda_stream=torch.cuda.current_stream(device).cuda_stream)
        except RuntimeError as error:
            folder = plan.manifest.folder
            raise DataError(f"DALI cannot read `{folder}`; is it damaged (`Manifest.verify`)? {error}") from error
        yield Batch(waiting.popleft(), _tensor(images), _tensor(labels)[..., 0], _tensor(joints))


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
