"""The C library's allocator, told to keep what is freed."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KEEPS, SETTLED = (1 << 30, 1 << 30), (64 << 20, 32 << 20)  # what they are set to; where glibc's own come to rest


def keep_memory(keep: bool = True) -> None:
    """Let this process keep freed blocks: else it pays for large ones in page faults after every use.

    Without `keep`, glibc's own thresholds are put back, as large as it lets them grow by itself. With another C library
    nothing happens.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in zip((M_TRIM_THRESHOLD, M_MMAP_THRESHOLD), KEEPS if keep else SETTLED, strict=True):
            libc.mallopt(parameter, value)
