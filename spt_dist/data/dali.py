"""Reading shards with NVIDIA DALI: the only door to `nvidia.dali`.

DALI reads, decodes and batches in its own threads: on the CPU when the plan's device is `cpu`, else JPEGs are decoded
on the GPU and batches are born there. Each rank reads its own contiguous share of the split; the shares move on and the
shards change their order with every epoch, and a buffer shuffles within. Shares are padded to whole batches, so that an
epoch begins with a batch; what was padded is thrown away here.

A position is DALI's own checkpoint. DALI loads one into a pipeline over other shards without a word: `pipeline.Reader`
compares the data's hash, the ranks and the batch before it gets here.

DALI cannot leave out a broken sample, and decodes a JPEG with flipped bits silently. It relies on `pack`, which decoded
every sample and wrote down the shards' SHA-256: `Manifest.verify` finds out whether they are still the same.
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spt_dist.body import Joint
from spt_dist.data.plan import Plan
from spt_dist.data.schema import KEYS, NPY_HEADER_BYTES, Batch, DataError

MOST_THREADS = 4


def available() -> bool:
    """Whether DALI is installed here."""
    try:
        return importlib.util.find_spec("nvidia.dali") is not None
    except ModuleNotFoundError:  # not even the `nvidia` namespace
        return False


class DaliStream:
    """A `Stream` through DALI's webdataset reader."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._drawn = 0
        self._pipeline = _build(plan, checkpoint=None)

    def draw(self) -> Batch:
        """The next batch; see `Stream`. Raises `DataError` when DALI cannot read a sample."""
        if self._drawn == self._plan.batches:
            for _ in range(_padded_batches(self._plan) - self._drawn):
                self._run()
            self._drawn = 0
        images, labels, joints, about = self._run()
        self._drawn += 1
        ids = [json.loads(bytes(np.array(about[slot])))["id"] for slot in range(len(about))]
        return Batch(ids, _tensor(images), _tensor(labels)[..., 0], _tensor(joints))

    def position(self) -> dict[str, Any]:
        """DALI's checkpoint, and how many batches of the epoch are drawn."""
        return {"drawn": self._drawn, "checkpoint": self._pipeline.checkpoint()}

    def seek(self, position: dict[str, Any]) -> None:
        """See `Stream`."""
        self._drawn = position["drawn"]
        self._pipeline = _build(self._plan, position["checkpoint"])

    def _run(self) -> Any:
        device = torch.device(self._plan.device)
        try:
            if device.type == "cpu":
                return self._pipeline.run()
            # On our stream: DALI then takes its memory back in that stream's order, after our copies.
            return self._pipeline.run(cuda_stream=torch.cuda.current_stream(device).cuda_stream)
        except RuntimeError as error:
            folder = self._plan.manifest.folder
            raise DataError(f"DALI cannot read `{folder}`; is it damaged (`Manifest.verify`)? {error}") from error


def _padded_batches(plan: Plan) -> int:
    """How many batches DALI's own epoch has: every share padded to the longest, and that to whole batches."""
    share = -(-plan.samples // plan.world_size)
    return -(-share // plan.batch)


def _build(plan: Plan, checkpoint: bytes | None) -> Any:
    """The pipeline: images uint8 [b, h, w, 3], labels uint8 [b, h, w, 1], joints float32 [b, 18, 3], json bytes."""
    from nvidia import dali
    from nvidia.dali.pipeline import Pipeline

    fn: Any = dali.fn  # both are filled when DALI loads its library, unseen by a type checker
    types: Any = dali.types
    device = torch.device(plan.device)
    on_gpu = device.type == "cuda"
    paths = plan.manifest.paths(plan.split)
    pipeline = Pipeline(
        batch_size=plan.batch,
        num_threads=max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // plan.world_size)),
        device_id=(device.index or 0) if on_gpu else None,
        seed=plan.seed,
        enable_checkpointing=True,
        checkpoint=checkpoint,
    )
    with pipeline:
        jpg, png, npy, about = fn.readers.webdataset(
            paths=paths,
            index_paths=[str(Path(path).with_suffix(".idx")) for path in paths],
            ext=list(KEYS),
            missing_component_behavior="error",
            random_shuffle=True,
            initial_fill=plan.shuffle_buffer,
            shuffle_after_epoch=True,
            shuffle_after_epoch_seed=plan.seed,
            num_shards=plan.world_size,
            shard_id=plan.rank,
            pad_last_batch=True,
            seed=plan.seed,
        )
        images = fn.decoders.image(jpg, device="mixed" if on_gpu else "cpu", output_type=types.RGB)
        labels = fn.decoders.image(png, device="cpu", output_type=types.GRAY)
        joints = fn.reinterpret(npy[NPY_HEADER_BYTES:], shape=[len(Joint), 3], dtype=types.FLOAT)
        if on_gpu:
            labels, joints = labels.gpu(), joints.gpu()
        pipeline.set_outputs(images, labels, joints, about)
    pipeline.build()
    return pipeline


def _tensor(batch: Any) -> torch.Tensor:
    """Our own copy: DALI reuses its memory for the next batch."""
    return torch.from_dlpack(batch.as_tensor()).clone()
