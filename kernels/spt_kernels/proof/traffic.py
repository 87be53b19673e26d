"""What kernels move and multiply, counted in the interpreter.

A GPU moves memory in sectors of 32 bytes. Three counts bound what a launch moves: the bytes its lanes ask for; the
sectors that each program touches, which is right when programs share nothing; and the sectors that the whole launch
touches, which is right when every repeated access hits the cache.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from spt_kernels.proof.watch import Observer, watch

SECTOR_BYTES = 32
SECTOR_BITS = SECTOR_BYTES.bit_length() - 1


@dataclass
class Moved:
    """Bytes moved one way: asked for, in sectors that each program touches, in sectors that the launch touches."""

    requested: int = 0
    per_program: int = 0
    unique: int = 0


@dataclass
class Launch:
    """The counts of one launch; `flops` are those of matrix products, `atomics` single elements."""

    kernel: str
    grid: tuple[int, ...]
    read: Moved = field(default_factory=Moved)
    written: Moved = field(default_factory=Moved)
    atomics: int = 0
    flops: int = 0


@contextmanager
def traffic() -> Iterator[list[Launch]]:
    """Count every launch made inside; each is appended to the list when it is over."""
    counter = _Counter()
    with watch(counter):
        yield counter.launches


def total(launches: Iterable[Launch]) -> Launch:
    """The sums over launches."""
    result = Launch("total", ())
    for launch in launches:
        for ours, theirs in ((result.read, launch.read), (result.written, launch.written)):
            ours.requested += theirs.requested
            ours.per_program += theirs.per_program
            ours.unique += theirs.unique
        result.atomics += launch.atomics
        result.flops += launch.flops
    return result


def table(launches: Iterable[Launch]) -> str:
    """A line per launch: megabytes read and written by each count, and millions of flops."""
    lines = [f"{'kernel':36}{'grid':>16}{'read MB':>24}{'written MB':>24}{'atomics':>9}{'Mflop':>9}"]
    lines.append(f"{'':52}{'asked, program, launch':>24}{'asked, program, launch':>24}")
    for launch in launches:
        moved = "".join(
            f"{way.requested / 1e6:>8.2f}{way.per_program / 1e6:>8.2f}{way.unique / 1e6:>8.2f}"
            for way in (launch.read, launch.written)
        )
        grid = "x".join(map(str, launch.grid))
        lines.append(f"{launch.kernel:36}{grid:>16}{moved}{launch.atomics:>9}{launch.flops / 1e6:>9.1f}")
    return "\n".join(lines)


class _Counter(Observer):
    """Counts accesses by their sectors."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.launch = Launch("", ())
        self.of_program: dict[str, list[np.ndarray]] = {"read": [], "write": []}
        self.of_launch: dict[str, list[np.ndarray]] = {"read": [], "write": []}

    def begin(self, kernel: str, grid: tuple[int, ...], tensors: dict[str, torch.Tensor]) -> None:
        self.launch = Launch(kernel, grid)
        self.of_launch = {"read": [], "write": []}

    def program(self, number: int) -> None:
        self._close_program()

    def access(self, kind: str, addresses: np.ndarray, size: int) -> None:
        if kind == "atomic":
            self.launch.atomics += addresses.size
            return
        (self.launch.read if kind == "read" else self.launch.written).requested += addresses.size * size
        if addresses.size:
            self.of_program[kind].append(_sectors(addresses >> SECTOR_BITS))

    def product(self, rows: int, columns: int, inner: int) -> None:
        self.launch.flops += 2 * rows * columns * inner

    def end(self) -> None:
        self._close_program()
        for kind, moved in (("read", self.launch.read), ("write", self.launch.written)):
            if self.of_launch[kind]:
                moved.unique = SECTOR_BYTES * _sectors(np.concatenate(self.of_launch[kind])).size
        self.launches.append(self.launch)

    def _close_program(self) -> None:
        for kind, moved in (("read", self.launch.read), ("write", self.launch.written)):
            if self.of_program[kind]:
                sectors = _sectors(np.concatenate(self.of_program[kind]))
                moved.per_program += SECTOR_BYTES * sectors.size
                self.of_launch[kind].append(sectors)
                self.of_program[kind] = []


def _sectors(numbers: np.ndarray) -> np.ndarray:
    """Each number once, sorted; neighbours are mostly equal, so they go first."""
    changes = np.flatnonzero(numbers[1:] != numbers[:-1])
    return np.unique(numbers[np.concatenate(([0], changes + 1))])
