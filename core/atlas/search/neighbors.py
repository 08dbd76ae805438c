"""Exact nearest neighbours by cosine; one query costs one read of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SearchError
from ..store.table import EmbeddingTable
from .kernels import cosine_float32, cosine_int8, find_duplicates

BLOCK_ROWS = 65_536
SAME = 1 - 1e-6
"""Cosine from which two vectors count as duplicates (float32 rounding of equal pictures stays above it)."""


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Results of a search, best first: `rows` (k,) of the table and their cosine `similarity` (k,).

    `duplicate` (k,) is True where the vector of a row equals the query or a better row. `note` explains why
    there are fewer rows than requested, if so.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]
    duplicate: NDArray[np.bool_]
    note: str = ""


def similarities(table: EmbeddingTable, query: NDArray[np.floating] | Sequence[float]) -> NDArray[np.float32]:
    """Return the cosine (n,) of every row with one (d,) query; 0 for rows without a usable vector."""
    return _cosines(table, unit_query(table, query))


def nearest(
    table: EmbeddingTable, query: NDArray[np.floating] | Sequence[float], k: int = 10,
    *, exclude: Sequence[int] = (), among: NDArray[np.bool_] | None = None, diversity: float = 0.0,
) -> Neighbors:  # fmt: skip
    """Find the k rows whose vectors are closest in direction to a (d,) query.

    `exclude` rows are left out; `among` (n,) keeps only rows where True. `diversity` in 0..1 trades closeness
    to the query for distance between the results (maximal marginal relevance, Carbonell and Goldstein 1998).
    A k larger than the table gives every usable row. Raises SearchError for a query that is not finite, zero
    or of another width, and TableError if the rows to search mix models.
    """
    require_count(k)
    require_rows(table, exclude)
    if not 0 <= diversity < 1:
        raise SearchError(f"The diversity must be between 0 (closest only) and 0.99; {diversity:g} is not.")
    unit = unit_query(table, query, among)
    scores = _cosines(table, unit)
    allowed = table.stored.usable if among is None else table.stored.usable & among
    if not allowed.all():
        scores[~allowed] = -np.inf
    scores[np.asarray(exclude, np.int64)] = -np.inf
    available = count_available(allowed, exclude)
    count = min(k, available)
    if diversity and count < available:
        pool = top(scores, min(available, max(10 * count, 200)))
        rows = _diversify(table, pool, scores[pool], count, diversity)
    else:
        rows = top(scores, count)
    return Neighbors(rows, scores[rows], flag_duplicates(table, unit, rows), shortage(count, k))


def require_count(k: int) -> None:
    """Raise SearchError unless at least one neighbour is requested."""
    if k < 1:
        raise SearchError(f"The number of neighbours must be 1 or more; {k} is not.")


def require_rows(table: EmbeddingTable, rows: Sequence[int]) -> None:
    """Raise SearchError if a row number is not in the table."""
    wrong = next((row for row in rows if not 0 <= row < len(table)), None)
    if wrong is not None:
        raise SearchError(
            f"There is no row {wrong} in {table.name}: give numbers from 0 to {len(table) - 1:,}."
        )


def count_available(allowed: NDArray[np.bool_], exclude: Sequence[int]) -> int:
    """Count the rows (n,) that are allowed and not excluded; raises SearchError if there is none."""
    excluded = np.unique(np.asarray(exclude, np.int64))
    count = int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[excluded]))
    if not count:
        raise SearchError("No row is left to search: exclude fewer rows, or widen the filter.")
    return count


def shortage(count: int, requested: int) -> str:
    """Explain that there are fewer rows to search than requested; empty if there are enough."""
    if count >= requested:
        return ""
    return f"The table has only {count:,} rows to search, so {count:,} are shown instead of {requested:,}."


def nearest_many(table: EmbeddingTable, queries: NDArray[np.floating], k: int = 10) -> tuple[Neighbors, ...]:
    """Find the k closest rows of each of (q, d) queries; raises the errors of `nearest`."""
    require_count(k)
    if not len(queries):
        return ()
    units = np.stack([unit_query(table, query) for query in queries])
    best = [_TopK(k) for _ in units]
    stored = table.stored
    for start in range(0, len(table), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        scores = units @ stored.values[rows].astype(np.float32, copy=False).T
        scores *= stored.inverse_norm[rows]
        scores[:, ~stored.usable[rows]] = -np.inf
        for top_k, block in zip(best, scores, strict=True):
            top_k.add(block, start)
    return tuple(_result(table, unit, top_k) for unit, top_k in zip(units, best, strict=True))


def example_query(
    table: EmbeddingTable, more: Sequence[int], less: Sequence[int] = ()
) -> NDArray[np.float32]:
    """Make the query "more like these rows, less like those", from unit vectors.

    It is twice the mean of `more` minus the mean of `less`. Raises SearchError if `more` is empty or a row
    has no usable vector.
    """
    if not len(more):
        raise SearchError("Choose at least one row to look for more of.")
    for rows in (more, less):
        require_rows(table, rows)
        unusable = [r for r in rows if not table.stored.usable[r]]
        if unusable:
            raise SearchError(f"Row {unusable[0]} has no usable vector: choose another example.")
    mean_more = table.unit_rows(more).mean(axis=0)
    return mean_more if not len(less) else 2 * mean_more - table.unit_rows(less).mean(axis=0)


def more_like(
    table: EmbeddingTable,
    more: Sequence[int],
    less: Sequence[int] = (),
    k: int = 10,
    *,
    diversity: float = 0.0,
) -> Neighbors:
    """Find the k rows most like `more` and least like `less`, without those rows themselves."""
    return nearest(table, example_query(table, more, less), k, exclude=[*more, *less], diversity=diversity)


def rows_within(table: EmbeddingTable, outline: Sequence[tuple[float, float]]) -> NDArray[np.int64]:
    """Return the rows whose centre lies inside a polygon of (longitude, latitude) degrees.

    Edges may cross the antimeridian. Raises SearchError for fewer than three points.
    """
    import shapely

    from ..store.outline import outline_of_ring

    ring = np.asarray(outline, np.float64)
    shape = outline_of_ring(ring[:, 0], ring[:, 1]) if ring.ndim == 2 and len(ring) >= 3 else None
    if shape is None:
        raise SearchError("The area must be a polygon: draw three or more points.")
    lon, lat = table.lonlat.T
    return np.flatnonzero(shapely.contains_xy(shape, lon, lat))


def top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the indices of the k largest scores, largest first; ties in order of index.

    The k-th largest maximum of columns of 64 scores bounds the k-th largest score from below, so only the few
    scores above it are sorted.
    """
    columns = len(scores) // 64
    if columns > 4 * k:
        maxima = scores[: columns * 64].reshape(64, columns).max(axis=0)
        bound = np.partition(maxima, columns - k)[columns - k]
        candidates = np.flatnonzero(scores >= bound)
    else:
        candidates = np.arange(len(scores))
    order = np.lexsort((candidates, -scores[candidates]))[:k]
    return candidates[order].astype(np.int64)


class _TopK:
    """The k best of scores that come in blocks."""

    def __init__(self, k: int) -> None:
        self.k, self.rows, self.scores = k, np.empty(0, np.int64), np.empty(0, np.float32)

    def add(self, scores: NDArray[np.float32], start: int) -> None:
        best = top(scores, min(self.k, len(scores)))
        rows, scores = np.append(self.rows, best + start), np.append(self.scores, scores[best])
        order = np.lexsort((rows, -scores))[: self.k]
        self.rows, self.scores = rows[order], scores[order]


def _result(table: EmbeddingTable, unit: NDArray[np.float32], best: _TopK) -> Neighbors:
    usable = np.isfinite(best.scores)
    rows, scores = best.rows[usable], best.scores[usable]
    return Neighbors(rows, scores, flag_duplicates(table, unit, rows), shortage(len(rows), best.k))


def unit_query(
    table: EmbeddingTable,
    query: NDArray[np.floating] | Sequence[float],
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Check a query and scale it to length one, (d,) float32.

    Raises SearchError or TableError if it cannot be compared with the rows (n,) `among`.
    """
    table.require_one_model(among)
    vector = np.asarray(query, np.float64).reshape(-1)
    if len(vector) != table.dim:
        raise SearchError(
            f"The query has {len(vector)} values but the table's vectors have {table.dim}: "
            "embed it with the table's own model."
        )
    if not np.isfinite(vector).all():
        raise SearchError("The query holds NaN or infinity: choose another place, row or image.")
    length = np.sqrt(vector @ vector)
    if length == 0:
        raise SearchError("The query is a vector of length zero: choose another place, row or image.")
    return (vector / length).astype(np.float32)


def _cosines(table: EmbeddingTable, unit: NDArray[np.float32]) -> NDArray[np.float32]:
    stored = table.stored
    if stored.values.dtype == np.int8:
        return cosine_int8(stored.values, stored.inverse_norm, unit)
    return cosine_float32(stored.values, stored.inverse_norm, unit)


def _diversify(
    table: EmbeddingTable, pool: NDArray[np.int64], closeness: NDArray[np.float32], k: int, diversity: float
) -> NDArray[np.int64]:
    """Choose k rows of a pool one by one.

    Each has the best (1 - diversity) * closeness - diversity * similarity to those chosen before.
    """
    units = table.unit_rows(pool)
    chosen = [0]
    similarity = units @ units[0]
    for _ in range(k - 1):
        score = (1 - diversity) * closeness - diversity * similarity
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
        similarity = np.maximum(similarity, units @ units[chosen[-1]])
    return pool[np.array(chosen)]


def flag_duplicates(
    table: EmbeddingTable, unit: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Flag results that equal the query or an earlier result, among the first 2,000."""
    flags = np.zeros(len(rows), bool)
    flags[:2_000] = find_duplicates(table.unit_rows(rows[:2_000]), unit, SAME)
    return flags
