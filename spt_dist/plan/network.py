"""What the ranks tell each other: seconds of collectives, and what DeepSpeed sends in a step of each ZeRO stage.

Collectives cost `hops * latency + bytes / bandwidth` (Hockney's alpha-beta model) on rings; over several nodes they are
hierarchical: inside each node first, so that every device sends its own part through its own link, then between nodes.

The bytes are those that DeepSpeed 0.19.8 sends with the settings of `train.engine`, read in its source: stages 1 and 2
average gradients by an all-reduce as stage 0 does (`use_multi_rank_bucket_allreduce`), and gather the parameters
besides, so that they send half as much again; nothing overlaps with the backward.
"""

from dataclasses import dataclass
from math import ceil

from spt_dist.plan.gpus import Link

NUMBER_BYTES = 4  # gradients and parameters are float32, also where networks compute in bfloat16
ZERO_STAGES = (0, 1, 2, 3)
NORM_BYTES = 4  # the gradient's norm, which the partitioning optimizers agree upon in every step


@dataclass(frozen=True)
class Cluster:
    """`ranks` devices, `per_node` of them in each node."""

    ranks: int
    per_node: int
    inside: Link
    between: Link

    @property
    def local(self) -> int:
        """Ranks in a node, at the most."""
        return min(self.ranks, self.per_node)

    @property
    def nodes(self) -> int:
        """Nodes, the last one perhaps not full."""
        return ceil(self.ranks / self.per_node)

    def all_reduce(self, size: float) -> float:
        """Seconds until everybody has the sum of `size` bytes: scattered inside, reduced between, gathered inside."""
        return 2 * ring(self.inside, self.local, size) + 2 * ring(self.between, self.nodes, size / self.local)

    def all_gather(self, size: float) -> float:
        """Seconds until everybody has all of `size` bytes, of which each had a part; a reduce-scatter is as long."""
        return ring(self.inside, self.local, size) + ring(self.between, self.nodes, size / self.local)


def ring(link: Link, ranks: int, size: float) -> float:
    """Seconds of a reduce-scatter or an all-gather of `size` bytes: every rank passes on `ranks - 1` parts."""
    return (ranks - 1) * (link.latency_s + size / ranks / link.bytes_per_s)


@dataclass(frozen=True)
class Traffic:
    """One engine's step: bytes that a rank sends, and how long it takes."""

    sent_bytes: float
    seconds: float


def engine_traffic(stage: int, numbers: int, tensors: int, micro_batches: int, cluster: Cluster) -> Traffic:
    """What one network's DeepSpeed engine sends in a step.

    Args:
        stage: of ZeRO.
        numbers: the network's parameters.
        tensors: in how many tensors; stage 3 gathers each on its own.
        micro_batches: of the step. Stage 2 and 3 reduce after each.
        cluster: who takes part.
    """
    if cluster.ranks == 1:
        return Traffic(0.0, 0.0)
    size = NUMBER_BYTES * numbers
    part = (cluster.ranks - 1) / cluster.ranks
    reduce, gather = cluster.all_reduce(size), cluster.all_gather(size)
    if stage == 0:
        return Traffic(2 * part * size, reduce)
    agree = cluster.all_reduce(NORM_BYTES)
    if stage < 3:
        times = micro_batches if stage == 2 else 1
        return Traffic((2 * times + 1) * part * size, times * reduce + gather + agree)
    # Parameters are gathered for the forward and for the backward, and gradients reduced to their owners.
    each = cluster.all_gather(0)
    seconds = micro_batches * (3 * gather + 2 * (tensors - 1) * each) + agree
    return Traffic(3 * micro_batches * part * size, seconds)
