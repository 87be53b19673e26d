"""Where the input path would starve a GPU: what a planned step consumes against what a core prepares.

The GPU's pace is `spt plan`'s for one device, the hungriest stage of the curriculum, without its own guess of the
input: counted operations, assumed shares of published peaks, **unmeasured on a GPU**. A core's pace is measured here.
On a GPU scenes are built on the device, so of ours only reading counts: decoding, flipping and joining, on processors
throughout (DALI decodes JPEGs on the GPU: fewer bytes, which are counted, and less work for the cores, unmeasured).
"""

from collections.abc import Sequence
from typing import NamedTuple

from spt_dist import config
from spt_dist.plan.gpus import gpu_named
from spt_dist.plan.planner import Planner

GPU, GPUS = "h100", 8
BATCHES = (1, 4, 16, 64)  # samples of one device
PCIE5_BYTES_PER_S = 64e9  # of an H100's x16 slot, one way: the vendor's number


class Hunger(NamedTuple):
    """What one device consumes."""

    config: str
    size: tuple[int, int]
    batch: int
    stage: str
    samples_per_s: float


class Cost(NamedTuple):
    """What a way of preparing asks of the host for a sample of one size."""

    cpu_s: float
    crossing_bytes: float


class Feeding(NamedTuple):
    """One device and a way that feeds it: fewer cores than `cores` for each device starve it."""

    hunger: Hunger
    way: str
    cores: float
    cores_of_eight: float
    bytes_per_s: float
    link_share: float


def hungers(name: str, settings: config.Config, batches: Sequence[int] = BATCHES) -> list[Hunger]:
    """Samples a second of the hungriest stage, by batch."""
    planner = Planner(settings, gpu_named(GPU))
    cluster, found = planner.cluster(1), []
    for batch in batches:
        paces = {}
        for stage, work in planner.works.items():
            step = work.seconds(planner.device, cluster, settings.train.zero_stage, batch, 1)
            paces[stage] = batch / (step.compute + step.communication + step.waiting)
        hungriest = max(paces, key=paces.__getitem__)
        found.append(Hunger(name, settings.data.image_size, batch, hungriest, paces[hungriest]))
    return found


def feed(hunger: Hunger, costs: dict[str, Cost]) -> list[Feeding]:
    """What each way needs to keep up."""
    found = []
    for way, cost in costs.items():
        cores, moved = hunger.samples_per_s * cost.cpu_s, hunger.samples_per_s * cost.crossing_bytes
        found.append(Feeding(hunger, way, cores, GPUS * cores, moved, moved / PCIE5_BYTES_PER_S))
    return found
