"""Which paths ops take: those of their tensors' device, or, to count what a GPU would do, a GPU's on any."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.compiler import is_dynamo_compiling

_as_gpu: ContextVar[bool] = ContextVar("as_gpu", default=False)


def is_on_processor(x: Tensor) -> bool:
    """Whether an op on `x` takes a processor's path."""
    if x.device.type != "cpu":
        return False
    return is_dynamo_compiling() or not _as_gpu.get()  # Dynamo cannot look into a context, and nobody counts there


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Let ops that choose by the device choose as on a GPU, where torch's own operators do the work."""
    token = _as_gpu.set(True)
    try:
        yield
    finally:
        _as_gpu.reset(token)
