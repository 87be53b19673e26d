"""Seconds of a step: what its operations take on a device, what its ranks tell each other, what it waits for.

A step's operations at any batch lie on the lines through two counted batches. On a GPU the slower of the device and the
processor that launches its kernels decides, phase by phase; the optimizer's kernels are few and long.
"""

from collections import Counter
from dataclasses import dataclass
from math import log, sqrt

from spt_dist.plan.calibrate import Cpu
from spt_dist.plan.count import Count, Part, Sizes
from spt_dist.plan.gpus import Gpu
from spt_dist.plan.network import Cluster, engine_traffic
from spt_dist.plan.trace import Op

DECODE_S, DECODED_PX = 2.9e-3, 256 * 256  # of one core for a picture with its map; measured with DALI and OpenCV
SPREAD = 0.02  # of a step's compute, between ranks; assumed: all wait for the slowest
Device = Gpu | Cpu
Pairs = tuple[tuple[Count, Count], ...]  # of one stage's variants, each counted at two batches


@dataclass(frozen=True)
class Seconds:
    """Where a step's time goes. Input is decoded meanwhile where the device leaves a core to do it."""

    compute: float
    communication: float
    waiting: float  # for the slowest rank
    input: float
    reads_ahead: bool

    @property
    def total(self) -> float:
        """Of the step."""
        busy = self.compute + self.communication + self.waiting
        return max(busy, self.input) if self.reads_ahead else busy + self.input


class Work:
    """What one stage computes, at any micro-batch."""

    def __init__(self, pairs: Pairs, sizes: Sizes, image_size: tuple[int, int]) -> None:
        self.pairs, self.sizes, self.pixels = pairs, sizes, image_size[0] * image_size[1]
        self._known: dict[tuple[str, int], tuple[float, float]] = {}

    def flops(self, batch: int) -> float:
        """Of a micro-batch, on average over the stage."""
        return sum(
            small.share * number * op.flops
            for small, large in self.pairs
            for parts in zip(small.parts, large.parts, strict=True)
            for op, number in on_line(*parts, batch)
        )

    def seconds(self, device: Device, cluster: Cluster, zero: int | None, micro_batch: int, accumulate: int) -> Seconds:
        """Of one step of `accumulate` micro-batches on each rank, on average over the stage's variants."""
        passes, update = self._compute(device, micro_batch)
        compute = accumulate * passes + update / (cluster.ranks if zero else 1)
        communication = 0.0
        for network in self._trained() if zero is not None else ():
            numbers, tensors = self.sizes.parameters[network], self.sizes.tensors[network]
            traffic = engine_traffic(zero or 0, numbers, tensors, accumulate, cluster)
            communication += traffic.seconds
        slowest = SPREAD * compute * sqrt(2 * log(cluster.ranks))
        decode = accumulate * micro_batch * DECODE_S * self.pixels / DECODED_PX
        return Seconds(compute, communication, slowest, decode, device.reads_ahead)

    def _trained(self) -> list[str]:
        """The network of every phase; a network that two phases train is sent twice."""
        return [part.network for part in self.pairs[0][0].parts if part.network]

    def _compute(self, device: Device, batch: int) -> tuple[float, float]:
        """Seconds of one micro-batch forward and backward, and of the update that ends a step."""
        key = device.name, batch
        if key not in self._known:
            passes = update = 0.0
            for small, large in self.pairs:
                for parts in zip(small.parts, large.parts, strict=True):
                    passes += small.share * part_seconds(device, *parts, batch)
                    update += small.share * sum(map(device.seconds, parts[0].update))
            self._known[key] = passes, update
        return self._known[key]


def part_seconds(device: Device, small: Part, large: Part, batch: int) -> float:
    """Seconds of one part's operations."""
    ops = on_line(small, large, batch)
    return max(sum(number * device.seconds(op) for op, number in ops), len(small.ops) * device.host_s)


def on_line(small: Part, large: Part, batch: int) -> list[tuple[Op, int]]:
    """The part's operations at a batch, equal ones together."""
    assert [op.name for op in small.ops] == [op.name for op in large.ops], "the batch decides what is computed"
    pairs = Counter(zip(small.ops, large.ops, strict=True))
    return [(_between(a, b, small.batch, large.batch, batch), number) for (a, b), number in pairs.items()]


def _between(a: Op, b: Op, small: int, large: int, batch: int) -> Op:
    share = (batch - small) / (large - small)
    flops, moved = a.flops + share * (b.flops - a.flops), a.bytes + share * (b.bytes - a.bytes)
    return a._replace(flops=max(0, round(flops)), bytes=max(0, round(moved)))
