"""Decoding with OpenCV, for every machine that DALI cannot be installed on.

One thread decodes a batch ahead.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from spt_dist.data.files import Files
from spt_dist.data.plan import Numbers, Plan
from spt_dist.data.schema import Batch, DataError, Sample, collate
from spt_dist.data.schema import decode as decode_sample

BROKEN_LIMIT = 0.01  # of the split's samples; one is always forgiven

logger = logging.getLogger(__name__)


def decode(plan: Plan, numbers: Numbers) -> Iterator[Batch]:
    """See `Decode`.

    A sample that cannot be decoded is named in the log, and the next of its split stands in, even if it meets itself;
    when more than `BROKEN_LIMIT` of the split cannot, that is a `DataError`.
    """
    samples = _Samples(plan)
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as thread:
        ahead = thread.submit(samples.batch, next(numbers))
        for following in numbers:
            batch, ahead = ahead.result(), thread.submit(samples.batch, following)
            if plan.device != "cpu":
                batch = Batch(batch.ids, *(tensor.pin_memory() for tensor in batch[1:])).to(plan.device)
            yield batch


class _Samples:
    """Decoded samples by number."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._files = plan, Files(plan.manifest, plan.split)
        self._broken: dict[str, str] = {}  # name -> reason

    def batch(self, numbers: list[int]) -> Batch:
        """Samples side by side."""
        return collate([self._readable(number) for number in numbers])

    def _readable(self, number: int) -> Sample:
        """The sample, or the first behind it that can be decoded."""
        for shift in range(self._plan.samples):
            files = self._files.read((number + shift) % self._plan.samples)
            try:
                sample = decode_sample(files)
                if sample.labels.shape == self._plan.manifest.size:
                    return sample
                reason = f"it is {sample.labels.shape} px, the manifest says {self._plan.manifest.size}"
            except DataError as error:
                reason = str(error)
            self._leave_out(f"sample {files['__key__']} of {files['__url__']}", reason)
        raise DataError(f"`{self._plan.manifest.folder}` has no readable sample; pack the shards again")

    def _leave_out(self, name: str, reason: str) -> None:
        if name not in self._broken:
            logger.warning("left out %s: %s", name, reason)
        self._broken[name] = reason
        limit = max(1, int(BROKEN_LIMIT * self._plan.samples))
        if len(self._broken) > limit:
            listed = "\n".join(f"  {name}: {reason}" for name, reason in self._broken.items())
            raise DataError(f"more than {limit} samples cannot be read; pack the shards again:\n{listed}")
