"""What an op must do at the least: the floor that benchmarks and the traffic gate compare kernels with."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Bytes moved to and from memory, and floating-point operations."""

    bytes: int
    flops: int
