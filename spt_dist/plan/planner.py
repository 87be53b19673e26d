"""Puts a plan together: for every ZeRO stage memory, the batch that fits, and the curriculum's time and cost."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import micro_batch
from spt_dist.data.schema import DataError
from spt_dist.plan.calibrate import Cpu
from spt_dist.plan.cost import Device, Seconds, Work
from spt_dist.plan.count import BATCHES, Sizes, StepCounter, variants
from spt_dist.plan.gpus import CPU, gpu_named
from spt_dist.plan.memory import Memory, checkpoint_bytes, memory, need, worst
from spt_dist.plan.network import ZERO_STAGES, Cluster
from spt_dist.train.phases import STAGES

MOST = 4096  # samples a device that are tried
NEARLY = 0.9  # of the best pace: a batch that reaches it is large enough
ALIKE = 1.01  # seconds within which the lower ZeRO stage is taken
Say = Callable[[str], object]


@dataclass(frozen=True)
class StagePlan:
    """One stage of the curriculum under one ZeRO stage."""

    stage: str
    images: int
    flops: float  # of a step of one device
    seconds: Seconds
    images_per_s: float
    hours: float


@dataclass(frozen=True)
class ZeroPlan:
    """The curriculum under one ZeRO stage; `peak` is the phase that needs most memory."""

    zero: int
    peak: Memory
    fits: bool
    largest_micro_batch: int  # 0: not even one sample fits
    stages: tuple[StagePlan, ...]
    hours: float
    checkpoint_bytes: int


@dataclass(frozen=True)
class Plan:
    """All that is planned; batches are samples, of a device and of all together."""

    device: str
    ranks: int
    precision: str
    usable_bytes: float
    batch: int
    micro_batch: int
    accumulate: int
    zeros: tuple[ZeroPlan, ...]
    recommended: int | None  # ZeRO stage; None: nothing fits
    recommended_micro_batch: int
    samples: int | None  # of the training split, where its shards are here or it was said

    @property
    def chosen(self) -> ZeroPlan:
        """Under the recommended ZeRO stage, or the leanest where nothing fits."""
        return self.zeros[-1 if self.recommended is None else self.recommended]

    def epoch_hours(self, zero: ZeroPlan) -> dict[str, float]:
        """Hours of one pass over the training split, by stage of the curriculum."""
        return {s.stage: (self.samples or 0) / s.images_per_s / 3600 for s in zero.stages}


class Planner:
    """Counts a configuration once and plans it for any number of devices."""

    def __init__(self, settings: config.Config, device: Device, say: Say = lambda line: None) -> None:
        if settings.networks.annotator is not None:
            raise config.ConfigError(
                "`networks.annotator` is set: a run of that one small network is not planned; train it as it is"
            )
        self.settings, self.device = settings, device
        counter = StepCounter(settings, as_gpu=device.name != CPU)
        self.sizes: Sizes = counter.sizes()
        trained = [stage for stage in STAGES if getattr(settings.stages, stage).images] or list(STAGES)
        self.works: dict[str, Work] = {}
        for stage in trained:
            say(f"counting {stage}")
            small, large = (
                [counter.step(stage, variant, batch) for variant in variants(settings, stage)] for batch in BATCHES
            )
            pairs = tuple(zip(small, large, strict=True))
            self.works[stage] = Work(pairs, self.sizes, settings.data.image_size)

    def cluster(self, ranks: int) -> Cluster:
        """As many of the device, in nodes of the vendor's."""
        return Cluster(ranks, self.device.per_node, self.device.inside, self.device.between)

    def peak(self, zero: int | None, ranks: int, batch: int, accumulate: int) -> Memory:
        """The phase that needs most, with micro-batches of `batch` samples."""
        return worst(
            memory(zero, self.sizes, need(small, large, batch), ranks, accumulate)
            for work in self.works.values()
            for pair in work.pairs
            for small, large in zip(pair[0].parts, pair[1].parts, strict=True)
            if small.network
        )

    def largest(self, zero: int, ranks: int, accumulate: int) -> int:
        """The most samples of a micro-batch that fit, up to `MOST`; 0 for none."""
        low, high = 0, MOST
        while low < high:
            middle = (low + high + 1) // 2
            if self.peak(zero, ranks, middle, accumulate).total <= self.device.usable_bytes:
                low = middle
            else:
                high = middle - 1
        return low

    def stage(self, stage: str, zero: int, ranks: int, batch: int, accumulate: int) -> StagePlan:
        """One stage of the curriculum."""
        work, images = self.works[stage], getattr(self.settings.stages, stage).images
        seconds = work.seconds(self.device, self.cluster(ranks), zero, batch, accumulate)
        pace = ranks * batch * accumulate / seconds.total
        return StagePlan(stage, images, accumulate * work.flops(batch), seconds, pace, images / pace / 3600)

    def pace(self, zero: int, ranks: int, batch: int, accumulate: int = 1) -> float:
        """Images a second over the whole curriculum (over one image of each stage where it has none)."""
        images = {stage: getattr(self.settings.stages, stage).images for stage in self.works}
        if not any(images.values()):
            images = dict.fromkeys(images, 1)
        cluster, together = self.cluster(ranks), ranks * batch * accumulate
        seconds = sum(
            number / together * self.works[stage].seconds(self.device, cluster, zero, batch, accumulate).total
            for stage, number in images.items()
        )
        return sum(images.values()) / seconds

    def zero(self, zero: int, ranks: int, batch: int, accumulate: int) -> ZeroPlan:
        """The curriculum under one ZeRO stage."""
        peak = self.peak(zero, ranks, batch, accumulate)
        stages = tuple(self.stage(stage, zero, ranks, batch, accumulate) for stage in self.works)
        return ZeroPlan(
            zero=zero,
            peak=peak,
            fits=peak.total <= self.device.usable_bytes,
            largest_micro_batch=self.largest(zero, ranks, accumulate),
            stages=stages,
            hours=sum(stage.hours for stage in stages),
            checkpoint_bytes=checkpoint_bytes(zero, self.sizes),
        )

    def plan(self, ranks: int, samples: int | None = None) -> Plan:
        """The whole plan for `ranks` devices."""
        accumulate = self.settings.train.accumulate
        batch, micro = divided(self.settings.data, ranks, accumulate)
        zeros = tuple(self.zero(zero, ranks, micro, accumulate) for zero in ZERO_STAGES)
        recommended = recommend(zeros)
        return Plan(
            device=self.device.name,
            ranks=ranks,
            precision=self.settings.train.precision,
            usable_bytes=self.device.usable_bytes,
            batch=batch,
            micro_batch=micro,
            accumulate=accumulate,
            zeros=zeros,
            recommended=recommended,
            recommended_micro_batch=self._enough(zeros, recommended, ranks),
            samples=samples or known_samples(self.settings.data),
        )

    def _enough(self, zeros: tuple[ZeroPlan, ...], recommended: int | None, ranks: int) -> int:
        """The smallest power of two (or the largest batch that fits) at which the pace is nearly the best one."""
        if recommended is None:
            return 0
        most = zeros[recommended].largest_micro_batch
        best = self.pace(recommended, ranks, most)
        tried = [2**power for power in range(most.bit_length())]
        return next((each for each in tried if self.pace(recommended, ranks, each) >= NEARLY * best), most)


def recommend(zeros: tuple[ZeroPlan, ...]) -> int | None:
    """The fastest stage that fits, the lower of two alike; None where none fits."""
    fitting = [each for each in zeros if each.fits]
    if not fitting:
        return None

    def seconds(each: ZeroPlan) -> float:
        return sum(stage.seconds.total for stage in each.stages)

    least = min(map(seconds, fitting))
    return next(each.zero for each in fitting if seconds(each) <= ALIKE * least)


def divided(data: config.Data, ranks: int, accumulate: int) -> tuple[int, int]:
    """(samples of all, of one micro-batch); where the batch does not divide, the next that does, with a warning."""
    rest = data.batch % (ranks * accumulate)
    if rest:
        batch = data.batch - rest + ranks * accumulate
        warnings.warn(
            f"`data.batch` = {data.batch} does not divide among {ranks} device(s) x `train.accumulate` = {accumulate}: "
            f"planned with {batch}; to train so, --set data.batch={batch}",
            stacklevel=2,
        )
        data = replace(data, batch=batch)
    return data.batch, micro_batch(data, ranks, accumulate)


def device_named(name: str) -> Device:
    """A row of the table, or the processor at hand; `ConfigError` for any other name."""
    return Cpu() if name == CPU else gpu_named(name)


def known_samples(data: config.Data) -> int | None:
    """Samples of the training split, where the shards are here."""
    try:
        return Manifest.load(data.shards).split("train").samples
    except DataError:
        return None
