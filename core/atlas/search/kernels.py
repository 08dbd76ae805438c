"""One pass over all vectors for one query, compiled by Numba; it takes as long as reading the rows.

int8 rows are summed in integers: the float32 query is rounded to int16, which is finer than the rows
themselves, the products of a row are summed exactly in int32, and rows are divided among the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

INT32_MAX = 2**31 - 1


@cache
def _dot_rows(width: int) -> Callable[..., None]:
    """Compile the pass over int8 rows of one width; a fixed width is a sixth faster."""

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
                # Without these casts Numba sums in int64, at half the speed.
                total = np.int32(total + np.int32(rows[i, j]) * np.int32(query[j]))
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
    """Return the cosines (n,) of (n, d) float32 rows, with `inverse_norm` (n,), and a (d,) unit query."""
    out = np.empty(len(rows), np.float32)
    _dot_float_rows(np.ascontiguousarray(rows), query, inverse_norm, out)
    return out


def cosine_int8(
    rows: NDArray[np.int8], inverse_norm: NDArray[np.float32], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the cosines (n,) of (n, d) int8 rows, with `inverse_norm` (n,), and a (d,) unit query."""
    largest = np.abs(query).max()
    levels = min(32767, INT32_MAX // (127 * len(query)))
    step = np.float32(largest / levels)
    out = np.empty(len(rows), np.float32)
    _dot_rows(len(query))(rows, np.rint(query / step).astype(np.int16), inverse_norm, step, out)
    return out


@numba.njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _coordinates(
    rows: NDArray[Any], factor: NDArray[np.float32], axes: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    for i in numba.prange(rows.shape[0]):
        for axis in range(axes.shape[0]):
            total = np.float32(0)
            for j in range(axes.shape[1]):
                total += np.float32(rows[i, j]) * axes[axis, j]
            out[i, axis] = total * factor[i]


def coordinates(
    rows: NDArray[Any], inverse_norm: NDArray[np.float32], axes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the products (n, c) of (n, d) int8 or float32 rows, scaled to length one, with (c, d) axes."""
    out = np.empty((len(rows), len(axes)), np.float32)
    _coordinates(rows, inverse_norm, np.ascontiguousarray(axes), out)
    return out


@numba.njit(fastmath=True, cache=True, nogil=True)
def find_duplicates(units: NDArray[np.float32], query: NDArray[np.float32], same: float) -> NDArray[np.bool_]:
    """Tell which of (m, d) unit rows have a cosine of at least `same` with the (d,) query or an earlier row.

    Runs on one core and without BLAS, whose threads and Numba's would wait for each other.
    """
    is_duplicate = np.zeros(len(units), np.bool_)
    for i in range(len(units)):
        for other in range(-1, i):
            total = np.float32(0)
            for j in range(units.shape[1]):
                total += units[i, j] * (query[j] if other < 0 else units[other, j])
            if total >= same:
                is_duplicate[i] = True
                break
    return is_duplicate
