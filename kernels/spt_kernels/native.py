"""The compiled CPU forms: every op's `cpu.cpp` in one shared library, built when the package is installed.

The library takes raw pointers and shares torch's OpenMP threads, so `torch.set_num_threads` rules it as well.
"""

import ctypes
from functools import cache
from importlib.util import find_spec

from torch import Tensor


@cache
def library() -> ctypes.CDLL:
    """The shared library.

    Raises:
        RuntimeError: it has not been built.
    """
    found = find_spec("spt_kernels._native")
    if found is None or found.origin is None:
        raise RuntimeError("the compiled part of spt_kernels is missing; build it: `make native`, or `pip install .`")
    return ctypes.CDLL(found.origin)


def call(function: str, *arguments: Tensor | int | float) -> None:
    """Call one function: tensors (contiguous, on the CPU) as pointers, ints as int64, floats as double."""
    converted = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            assert argument.device.type == "cpu"
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            converted.append(ctypes.c_int64(argument) if isinstance(argument, int) else ctypes.c_double(argument))
    library()[function](*converted)
