"""Traces of a run's steps: `spt train --profile` writes `RUN/profile/STAGE.json` for Perfetto or chrome://tracing.

The first steps of a stage warm up, the next ones are recorded, on the leading rank. What a step does has its name in
the trace: `read`, `scene`, each phase by its network, `average`, `report`, `save`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule

FOLDER = "profile"
WARM_UP_STEPS, STEPS = 2, 3


@contextmanager
def traced(run: Path, stage: str) -> Iterator[Callable[[], None]]:
    """Record a stage's steps; call what it yields behind each of them."""
    file = run / FOLDER / f"{stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    plan = schedule(wait=0, warmup=WARM_UP_STEPS, active=STEPS, repeat=1)
    with profile(schedule=plan, on_trace_ready=lambda done: done.export_chrome_trace(str(file))) as recorded:
        yield recorded.step


@contextmanager
def untraced(run: Path, stage: str) -> Iterator[Callable[[], None]]:
    """The same without a trace."""
    yield lambda: None
