"""Watching kernels run in Triton's interpreter: every access, product and program goes to an observer.

`TRITON_INTERPRET=1` runs one program after the other on processors. An observer sees the addresses that the lanes which
are not masked out touch, before they are touched.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from triton import knobs
from triton.runtime import interpreter


class Observer:
    """What is told of a launch. Addresses are those of elements of `size` bytes; `kind` is read, write or atomic."""

    def begin(self, kernel: str, grid: tuple[int, ...], tensors: dict[str, torch.Tensor]) -> None:
        """A launch starts."""

    def program(self, number: int) -> None:
        """A program starts."""

    def access(self, kind: str, addresses: np.ndarray, size: int) -> None:
        """A program touches memory."""

    def product(self, rows: int, columns: int, inner: int) -> None:
        """A program multiplies two matrices."""

    def end(self) -> None:
        """The launch is over."""


@contextmanager
def watch(observer: Observer) -> Iterator[None]:
    """Tell `observer` of every launch in the interpreter.

    Raises:
        RuntimeError: kernels are compiled, not interpreted.
    """
    if not knobs.runtime.interpret:
        raise RuntimeError("kernels are compiled here; set TRITON_INTERPRET=1 before triton is imported")
    builder = interpreter.interpreter_builder
    run, call = interpreter.InterpretedFunction.run, interpreter.InterpretedFunction.__call__
    step = builder.set_grid_idx
    load, store = builder.create_masked_load, builder.create_masked_store
    swap, update, dot = builder.create_atomic_cas, builder.create_atomic_rmw, builder.create_dot
    programs, entered = iter(()), set()

    def launch(function: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        nonlocal programs
        programs = iter(range(int(np.prod(grid))))
        entered.clear()
        arguments = dict(zip(function.arg_names, args, strict=False)) | kwargs
        tensors = {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor)}
        observer.begin(function.__name__, tuple(grid), tensors)
        run(function, *args, grid=grid, warmup=warmup, **kwargs)
        observer.end()

    def enter(function: Any, *args: Any, **kwargs: Any) -> Any:
        """A device function: the interpreter prepares the language at every call; once a launch is enough."""
        if function in entered:
            return function.rewrite()(*args, **kwargs)
        entered.add(function)
        return call(function, *args, **kwargs)

    def tell(kind: str, pointers: Any, mask: np.ndarray | None) -> None:
        addresses = pointers.data if mask is None else pointers.data[np.broadcast_to(mask, pointers.data.shape)]
        size = max(pointers.get_element_ty().primitive_bitwidth // 8, 1)
        observer.access(kind, addresses.reshape(-1), size)

    def set_grid_idx(x: int, y: int, z: int) -> None:
        step(x, y, z)
        observer.program(next(programs))

    def create_masked_load(pointers: Any, mask: Any, *rest: Any) -> Any:
        tell("read", pointers, mask.data)
        return load(pointers, mask, *rest)

    def create_masked_store(pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        tell("write", pointers, mask.data)
        return store(pointers, value, mask, *rest)

    def create_atomic_cas(pointers: Any, *rest: Any) -> Any:
        tell("atomic", pointers, None)
        return swap(pointers, *rest)

    def create_atomic_rmw(operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        tell("atomic", pointers, mask.data)
        return update(operation, pointers, value, mask, *rest)

    def create_dot(left: Any, right: Any, *rest: Any) -> Any:
        observer.product(left.data.shape[-2], right.data.shape[-1], left.data.shape[-1])
        return dot(left, right, *rest)

    hooks = (set_grid_idx, create_masked_load, create_masked_store, create_atomic_cas, create_atomic_rmw, create_dot)
    with ExitStack() as stack:
        stack.enter_context(patch.object(interpreter.InterpretedFunction, "run", launch))
        stack.enter_context(patch.object(interpreter.InterpretedFunction, "__call__", enter))
        for hook in hooks:
            stack.enter_context(patch.object(builder, hook.__name__, hook))
        yield
