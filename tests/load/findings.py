"""What a scenario found: targets with what was measured, latencies, counts by status, and their course over time."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tests.load.endpoint import Batches, Count
from tests.load.traffic import Answer

BIN_S = 0.5


class Target(NamedTuple):
    """A promise, and what was measured of it; `passed` is None where it could not be measured."""

    promise: str
    measured: str
    passed: bool | None


class Mark(NamedTuple):
    """Something that was done to the endpoint at a `time.time`."""

    time: float
    words: str


@dataclass
class Findings:
    """Of one scenario; `refusals` are the statuses beside 200 that are right in it."""

    what: str
    answers: list[Answer] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    refusals: Collection[int] = ()
    marks: list[Mark] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    batches: Batches | None = None

    def expect(self, promise: str, passed: bool | None, measured: object) -> None:
        """Hold a promise against what was measured."""
        self.targets.append(Target(promise, str(measured), passed))

    def expect_no_failure(self, promise: str = "no failed request") -> None:
        """Every answer is a picture, or a refusal that is right here."""
        failed = [answer for answer in self.answers if answer.status not in (200, *self.refusals)]
        words = f"{len(failed)} of {len(self.answers)}"
        if failed:
            words += f", the first: {failed[0].status} {failed[0].error[:120]}"
        self.expect(promise, bool(self.answers) and not failed, words)

    def tree(self) -> dict[str, Any]:
        """For JSON; times in seconds since the first request."""
        start = self.answers[0].start
        pictures = [answer for answer in self.answers if answer.status == 200]
        ends = np.array([answer.end - start for answer in pictures])
        edges = np.arange(0, max(answer.end for answer in self.answers) - start + BIN_S, BIN_S)
        last = edges[-1]
        failures = sum(answer.status not in (200, *self.refusals) for answer in self.answers)
        return {
            "what": self.what,
            "targets": [target._asdict() for target in self.targets],
            "requests": len(self.answers),
            "failures": failures,
            "statuses": {str(status): n for status, n in sorted(Counter(a.status for a in self.answers).items())},
            "pictures_per_s": round(len(pictures) / last, 2),
            "latency_s": latencies([answer.seconds for answer in pictures]),
            "cold": sum("cold;dur" in answer.timing for answer in pictures),
            "course": {
                "end_s": edges[1:].tolist(),
                "pictures_per_s": (np.histogram(ends, edges)[0] / BIN_S).tolist(),
            },
            "replicas": [[round(c.time - start, 2), c.running, c.starting] for c in self.counts],
            "marks": [[round(mark.time - start, 2), mark.words] for mark in self.marks],
            "batches": self.batches and self.batches.by_size(),
        }


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles and the longest, rounded to ms."""
    if not seconds:
        return {}
    found = np.percentile(seconds, [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "max"), found.round(3).tolist(), strict=True))
