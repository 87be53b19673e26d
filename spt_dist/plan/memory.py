"""Bytes of one rank under each ZeRO stage, phase by phase.

Parameters, optimizer state and averages are there all the time, for every network, whichever is trained. Gradients are
those of the trained network that exist at the phase's peak, which mostly comes before them: when the forward ends and
nothing is given back yet. Activations are what else is alive at that moment, scenes included.

DeepSpeed's optimizers of stages 1 and 2 keep a float32 copy of the rank's part of the parameters beside Adam's two
moments, and take a buffer for the gradients of one reduction while the backward runs, which `train.engine` makes as
large as the network.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import ceil

from spt_dist.plan.count import SCENE, Part, Sizes
from spt_dist.plan.network import NUMBER_BYTES
from spt_dist.plan.trace import OTHER

ALIGNMENT = 2  # numbers: DeepSpeed pads a flat group to a multiple of this times the ranks
PREFETCH_NUMBERS = 50_000_000  # `prefetch_bucket_size`, of stage 3
MOMENTS = 2  # of Adam


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank at the peak of one phase."""

    phase: str
    parameters: int
    gradients: int
    buckets: int  # DeepSpeed's, for communication
    optimizer: int
    averages: int
    activations: int
    features: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(value for key, value in asdict(self).items() if key != "phase")


@dataclass(frozen=True)
class Need:
    """What a phase needs on a straight line in the batch: activations, gradients and scenes of one micro-batch."""

    phase: str
    network: str
    activations: int
    gradients: int  # that exist at that moment already
    scene: int


def need(small: Part, large: Part, batch: int) -> Need:
    """A phase at any batch, from its counts at two batches."""

    def line(category: str) -> int:
        a, b = (part.peak.live[category] for part in (small, large))
        return a + (b - a) * (batch - small.batch) // (large.batch - small.batch)

    spaces = [part.peak.workspace for part in (small, large)]
    workspace = spaces[0] + (spaces[1] - spaces[0]) * (batch - small.batch) // (large.batch - small.batch)
    return Need(small.name, small.network, line(OTHER) + workspace, line("gradients"), line(SCENE))


def partition(numbers: int, ranks: int) -> int:
    """Numbers of one rank's part, padded as DeepSpeed pads."""
    return ALIGNMENT * ceil(numbers / (ALIGNMENT * ranks))


def memory(zero: int | None, sizes: Sizes, phase: Need, ranks: int, accumulate: int = 1) -> Memory:
    """One rank's bytes in one phase; `zero` None is one process of plain torch.

    While a step has several micro-batches, the gradients so far and all scenes are there beside the activations.
    """
    numbers = sizes.parameters
    own = {name: partition(each, ranks) for name, each in numbers.items()}
    parameters, optimizer, gradients, buckets = (
        sum(numbers.values()),
        MOMENTS * sum(numbers.values()),
        phase.gradients,
        0,
    )
    if accumulate > 1:
        gradients = NUMBER_BYTES * numbers[phase.network]
    if zero:
        optimizer, buckets = (1 + MOMENTS) * sum(own.values()), numbers[phase.network]
        if zero >= 2:
            gradients = min(gradients, NUMBER_BYTES * own[phase.network])
        if zero == 3:
            parameters = sum(own.values()) + min(PREFETCH_NUMBERS, parameters)
    return Memory(
        phase=phase.phase,
        parameters=NUMBER_BYTES * parameters,
        gradients=gradients,
        buckets=NUMBER_BYTES * buckets,
        optimizer=NUMBER_BYTES * optimizer,
        averages=NUMBER_BYTES * sum(sizes.averaged.values()),
        activations=phase.activations + accumulate * phase.scene,
        features=sizes.features_bytes,
    )


def checkpoint_bytes(zero: int | None, sizes: Sizes) -> int:
    """A checkpoint on disk: every engine's parameters and Adam's moments, and the averages, float32.

    DeepSpeed's stages from 1 on save their own copy of the parameters as well.
    """
    copies = 1 + MOMENTS + (1 if zero else 0)
    return NUMBER_BYTES * (copies * sum(sizes.parameters.values()) + sum(sizes.averaged.values()))


def worst(memories: Iterable[Memory]) -> Memory:
    """The phase that needs most."""
    return max(memories, key=lambda each: each.total)
