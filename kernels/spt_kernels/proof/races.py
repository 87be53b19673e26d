"""Races and accesses out of bounds, found in the interpreter whatever the values are.

The interpreter runs programs one after the other, so that a race gives right results there. Here every address that a
program touches is kept: no other program of the launch may touch what one stores to, except by atomics, and every
address must lie in the memory of a tensor that the launch was given.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from spt_kernels.proof.watch import Observer, watch


class OutOfBoundsError(IndexError):
    """A lane that is not masked out left the launch's tensors; raised before it does harm."""


@contextmanager
def races(ordered: Collection[str] = ()) -> Iterator[list[str]]:
    """Gather a line for each launch in which programs race. Kernels named in `ordered` take turns by atomics.

    Raises:
        OutOfBoundsError: within triton's own `InterpreterError`.
    """
    keeper = _Keeper(ordered)
    with watch(keeper):
        yield keeper.found


class _Keeper(Observer):
    """Keeps who touched what during a launch."""

    def __init__(self, ordered: Collection[str]) -> None:
        self.ordered, self.found = ordered, list[str]()

    def begin(self, kernel: str, grid: tuple[int, ...], tensors: dict[str, torch.Tensor]) -> None:
        self.kernel, self.number = kernel, 0
        self.touched: dict[str, list[tuple[int, np.ndarray]]] = {"read": [], "write": [], "atomic": []}
        memory = {}
        for name, tensor in tensors.items():
            storage = tensor.untyped_storage()
            memory.setdefault(storage.data_ptr(), (storage.data_ptr() + storage.nbytes(), name))
        self.starts = np.array(sorted(memory), dtype=np.int64)
        self.ends = np.array([memory[start][0] for start in self.starts.tolist()], dtype=np.int64)
        self.names = [memory[start][1] for start in self.starts.tolist()]

    def program(self, number: int) -> None:
        self.number = number

    def access(self, kind: str, addresses: np.ndarray, size: int) -> None:
        if not addresses.size:
            return
        addresses = addresses.astype(np.int64)
        owner = np.searchsorted(self.starts, addresses, side="right") - 1
        outside = (owner < 0) | (addresses + size > self.ends[owner])
        if outside.any():
            near = self.names[max(0, int(owner[outside][0]))]
            what = f"{int(outside.sum())} elements outside of its tensors, the first behind `{near}`"
            raise OutOfBoundsError(f"`{self.kernel}`, program {self.number}, {kind}: {what}")
        self.touched[kind].append((self.number, np.unique(addresses)))

    def end(self) -> None:
        if self.kernel in self.ordered:
            return
        stores = self._pairs("write")
        others = np.concatenate([stores, self._pairs("read"), self._pairs("atomic")])
        others = others[np.isin(others[:, 0], stores[:, 0])]
        others = np.unique(others, axis=0)
        shared = np.unique(others[1:, 0][others[1:, 0] == others[:-1, 0]])
        if shared.size:
            places = np.searchsorted(self.starts, shared, side="right") - 1
            names = ", ".join(f"`{self.names[place]}`" for place in np.unique(places))
            self.found.append(f"`{self.kernel}`: {shared.size} elements of {names} are shared by several programs")

    def _pairs(self, kind: str) -> np.ndarray:
        """Address and program of every access [n 2]."""
        pairs = [np.stack([places, np.full_like(places, number)], axis=1) for number, places in self.touched[kind]]
        return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
