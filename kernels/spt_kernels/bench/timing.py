"""Timing spellings in turn, round by round, so that a busy machine slows all of them alike; and memory's peak."""

import ctypes
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import torch
from torch import Tensor

SHORTEST_S = 2e-3  # a shorter call is repeated within a round
FLUSH_BYTES = 256 * 2**20  # written between calls on a GPU: larger than its cache


class Times(NamedTuple):
    """Seconds a call: the median and the 20 % and 80 % quantiles."""

    median: float
    p20: float
    p80: float


def run(spelling: Callable[[], Tensor | tuple[Tensor, ...]], leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a spelling gives, then the gradients of `leaves`; without leaves only the forward runs."""
    with torch.set_grad_enabled(bool(leaves)):
        result = spelling()
    results = result if isinstance(result, tuple) else (result,)
    if not leaves:
        return results
    upstream = _upstream(results[0].shape, results[0].dtype, results[0].device)
    return (results[0].detach(), *torch.autograd.grad(results[0], leaves, upstream))


@lru_cache(maxsize=1)
def _upstream(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The gradient that a backward starts from: drawn once, since it is not what is timed."""
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(0), device=device).to(dtype)


def interleaved(calls: dict[str, Callable[[], float]], rounds: int, tick: Callable[[], object]) -> dict[str, Times]:
    """Call each, which returns its own seconds, `rounds` times in turn after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for counted in range(-1, rounds):
        for name, call in calls.items():
            took = call()
            if counted >= 0:
                seconds[name].append(took)
        tick()
    result = {}
    for name, values in seconds.items():
        cuts = quantiles(values, n=5) if len(values) > 1 else values * 4
        result[name] = Times(median(values), cuts[0], cuts[3])
    return result


def stopwatch(call: Callable[[], object], device: str) -> Callable[[], float]:
    """A call that returns the seconds it took: by the clock on processors, by events on a GPU."""
    if device == "cuda":
        return lambda: _events(call)
    call()
    start = time.perf_counter()
    call()
    repeats = max(1, round(SHORTEST_S / (time.perf_counter() - start)))

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    return timed


def _events(call: Callable[[], object]) -> float:
    torch.empty(FLUSH_BYTES // 4, device="cuda").zero_()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def peak_extra_bytes(call: Callable[[], object], device: str) -> int:
    """How far memory rises above what is in use while `call` runs, its results included."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is in use
    before = _status_bytes("VmRSS")
    results = call()
    peak = _status_bytes("VmHWM")
    del results
    return max(0, peak - before)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
