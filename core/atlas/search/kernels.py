"""One pass over all vectors for one query, compiled by Numba: it takes as long as reading the rows, and no longer on a busy machine.

int8 rows are summed in integers: a float32 query is rounded to int16 (fifteen bits, so that rounding it never decides a rank that the int8 rows themselves
can tell), the products of a row are summed exactly in int32, and rows are shared out over the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

INT32_MAX = 2**31 - 1


@cache
def _dot_rows(width: int) -> Callable[..., None]:
    """The pass over int8 rows of one width: known as it is compiled, it is a sixth faster where memory does not hold it back."""

    @numba.njit(parallel=True, fastmath=True, cache=True, nogil=True)
    def dot_rows(
        rows: NDArray[np.int8],
        query: NDArray[np.int16],
        factor: NDArray[np.float32],
        step: np.float32,
        out: NDArray[np.float32],
    ) -> None:
        for i in numba.prange(rows.shape[0]):
            total = np.int32(0)
            for j in range(width):
                total = np.int32(
                    total + np.int32(rows[i, j]) * np.int32(query[j])
                )  # else Numba sums in int64, at half the pace
            out[i] = np.float32(total) * factor[i] * step

    return dot_rows


@numba.njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _dot_float_rows(
    rows: NDArray[np.float32],
    query: NDArray[np.float32],
    factor: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for i in numba.prange(rows.shape[0]):
        total = np.float32(0)
        for j in range(rows.shape[1]):
            total += rows[i, j] * query[j]
        out[i] = total * factor[i]


def cosine_float32(
    rows: NDArray[np.float32], inverse_norm: NDArray[np.float32], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give the cosine of (n, d) float32 rows with one (d,) query of unit length; `inverse_norm` (n,) of the rows."""
    out = np.empty(len(rows), np.float32)
    _dot_float_rows(np.ascontiguousarray(rows), query, inverse_norm, out)
    return out


def cosine_int8(
    rows: NDArray[np.int8], inverse_norm: NDArray[np.float32], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give the cosine of (n, d) int8 rows with one (d,) float query of unit length; `inverse_norm` (n,) of the int8 rows."""
    largest = np.abs(query).max()
    levels = min(32767, INT32_MAX // (127 * len(query)))
    step = np.float32(largest / levels)
    out = np.empty(len(rows), np.float32)
    _dot_rows(len(query))(rows, np.rint(query / step).astype(np.int16), inverse_norm, step, out)
    return out


@numba.njit(fastmath=True, cache=True, nogil=True)
def repeats(units: NDArray[np.float32], query: NDArray[np.float32], same: float) -> NDArray[np.bool_]:
    """Tell which of (m, d) unit rows has a cosine of at least `same` with the (d,) query or with a row before it.

    On one core and without BLAS, whose threads and Numba's would wait for each other longer than this takes.
    """
    found = np.zeros(len(units), np.bool_)
    for i in range(len(units)):
        for other in range(-1, i):
            total = np.float32(0)
            for j in range(units.shape[1]):
                total += units[i, j] * (query[j] if other < 0 else units[other, j])
            if total >= same:
                found[i] = True
                break
    return found
