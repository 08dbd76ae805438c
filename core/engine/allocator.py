"""Keeps memory that a network frees between layers inside the process, until it is told to return it.

By default glibc returns it to the system, and the next layer causes page faults. A server that runs for days
also refuses huge pages: the kernel fills the holes of a heap with them, even while the server is idle.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache

MB = 2**20
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
"""Parameters of mallopt(3), from <malloc.h>."""

SETTINGS = (
    (TRIM_THRESHOLD, 256 * MB),
    (TOP_PAD, 64 * MB),
    (MMAP_THRESHOLD, 32 * MB),
    (ARENA_MAX, max(2, os.cpu_count() or 1)),
)
"""Free memory that stays with the process; what a heap grows by, large enough that heaps of threads are never
returned; the size from which an array gets memory of its own; and the number of heaps: by default eight a
core, whose free memory lies scattered and cannot be returned."""

PR_SET_THP_DISABLE = 41
"""An option of prctl(2), from <linux/prctl.h>."""


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


def refuse_huge_pages() -> bool:
    """Keep NumPy's large arrays off huge pages, now and later; False where Linux does not offer that.

    NumPy asks for huge pages wherever a large array lies. Where memory is kept, the kernel later makes whole
    huge pages out of what is left in use there: 70 to 320 MB more within two idle minutes of a server.
    """
    try:
        return ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0
    except (OSError, TypeError, AttributeError):
        return False
