"""Keeps memory that a network frees between layers inside the process, until it is told to return it.

By default glibc returns it to the system, and the next layer causes page faults.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

MB = 2**20
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3), from <malloc.h>."""

SETTINGS = ((TRIM_THRESHOLD, 256 * MB), (TOP_PAD, 64 * MB), (MMAP_THRESHOLD, 32 * MB))
"""Free memory that stays with the process; what a heap grows by, large enough that heaps of threads are never
returned; and the size from which an array gets memory of its own."""


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Make the process keep freed memory; returns whether the C library supports it.

    Otherwise up to a fifth of a small network's time goes into page faults (docs/measured.md).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    accepted = [mallopt(parameter, size) for parameter, size in SETTINGS]
    return all(accepted)


def return_freed_memory() -> bool:
    """Return what `keep_freed_memory` kept to the system; False if nothing was, or the C library cannot."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, TypeError, AttributeError):
        return False
