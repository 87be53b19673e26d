"""Decoding with OpenCV, for every machine that DALI cannot be installed on.

One thread decodes a batch ahead.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from spt_dist.data.lost import Readable
from spt_dist.data.plan import Numbers, Plan
from spt_dist.data.schema import Batch, DataError, Sample, collate, fold_labels, unfold_labels
from spt_dist.data.schema import decode as decode_sample


def decode(plan: Plan, numbers: Numbers) -> Iterator[Batch]:
    """See `Decode`; `DataError` when more samples are lost than `lost` forgives."""
    samples, use = Readable(plan), partial(_decode, size=plan.manifest.size)

    def batch_of(wanted: list[int]) -> Batch:
        return collate([samples.read(number, use) for number in wanted])

    with ThreadPoolExecutor(1, thread_name_prefix="decode") as thread:
        ahead = thread.submit(batch_of, next(numbers))
        for following in numbers:
            batch, ahead = ahead.result(), thread.submit(batch_of, following)
            if plan.device != "cpu":
                batch = cross(batch, plan.device)
            yield batch


def crossing(batch: Batch) -> tuple[torch.Tensor, ...]:
    """What crosses to the device of a batch: images, folded label maps, joints."""
    return batch.images, fold_labels(batch.labels), batch.joints


def cross(batch: Batch, device: str) -> Batch:
    """The batch on the device, through pinned memory that nobody waits for."""
    images, folded, joints = (tensor.pin_memory().to(device, non_blocking=True) for tensor in crossing(batch))
    return Batch(batch.ids, images, unfold_labels(folded, batch.labels.shape), joints)


def _decode(files: dict[str, Any], size: tuple[int, int]) -> Sample:
    sample = decode_sample(files)
    if sample.labels.shape != size:
        raise DataError(f"`{sample.id}` is {sample.labels.shape} px, the manifest says {size}; pack the shards again")
    return sample
