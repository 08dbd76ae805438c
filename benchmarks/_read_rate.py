"""An exact search beside the reading of the vectors that it has to read."""

import statistics
from collections.abc import Callable

import numba
import numpy as np
from _timing import median_ms

from core.atlas import EmbeddingTable
from core.atlas.search.neighbors import nearest

K = 100
"""Rows that a search returns."""


def search_and_read_ms(table: EmbeddingTable) -> tuple[float, float]:
    """Return the milliseconds of one query and of reading all vectors in one stream, measured in turns.

    Vectors are read by one thread and by all; the faster one counts.
    """
    flat = table.stored.values.reshape(-1).view(np.float32)
    query = table.vectors_of([len(table) // 2])[0]
    ways: dict[str, Callable[[], object]] = {
        "search": lambda: nearest(table, query, K),
        "threads": lambda: _sum(flat),
        "one thread": lambda: flat.max(),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, work in ways.items():
            taken[name].append(median_ms(work, 5))
    search, threads, one = (statistics.median(taken[name]) for name in ways)
    return search, min(threads, one)


@numba.njit(parallel=True, fastmath=True)
def _sum(values: np.ndarray) -> np.float32:
    total = np.float32(0)
    for i in numba.prange(values.size):
        total += values[i]
    return total
