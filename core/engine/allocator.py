"""Keep memory that a network frees between layers inside the process.

By default glibc returns it to the system page by page, and the next layer faults it in again.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

MB = 2**20
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Names that <malloc.h> gives to what mallopt(3) sets."""

SETTINGS = ((TRIM_THRESHOLD, 256 * MB), (TOP_PAD, 64 * MB), (MMAP_THRESHOLD, 32 * MB))
"""Free memory that stays with the process.

What a heap grows by, so much that those of threads are never handed back; from which size on an.

array that fits into nothing kept is handed back whole.
"""


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let the process keep what networks on the CPU free, for the next layer to use.

    Tell whether the C library could be told.

    Without it up to a fifth of a small network's time goes into page faults (docs/measured.md). Other C
    libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    told = [mallopt(what, size) for what, size in SETTINGS]
    return all(told)
