"""Clusters of rows: k-means on unit vectors, the number of clusters chosen by silhouette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from ..errors import SearchError
from ..search.neighbors import BLOCK_ROWS
from ..store.table import EmbeddingTable
from .project import principal_axes

CANDIDATES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
AXES = 32
FIT_ROWS, SILHOUETTE_ROWS = 20_000, 2_000


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of rows, the largest first: `labels` (n,) int32 in 0..k-1, -1 without a usable vector.

    `representatives` are (k, up to r) rows closest to each centre, most central first; `silhouette` is given
    per k that was tried. `fitted` is the number of rows that the centres were fitted on.
    """

    k: int
    labels: NDArray[np.int32]
    representatives: tuple[tuple[int, ...], ...]
    silhouette: dict[int, float]
    fitted: int


def cluster(
    table: EmbeddingTable, k: int | None = None, *, seed: int = 0, representatives: int = 6
) -> Clusters:
    """Cluster rows by direction; `k` None takes the number with the best silhouette on a seeded sample.

    Works on the first 32 principal axes. Raises SearchError if there are fewer usable rows than clusters.
    """
    usable = np.flatnonzero(table.stored.usable)
    if k is not None and not 1 <= k <= len(usable):
        raise SearchError(f"{len(usable):,} rows cannot make {k:,} groups: ask for 1 to {len(usable):,}.")
    if len(usable) < 3 and k is None:
        raise SearchError("Grouping needs at least three rows with vectors: embed more places.")
    axes = principal_axes(table, min(AXES, table.dim))
    chosen = usable
    if len(usable) > FIT_ROWS:
        at = np.random.default_rng(seed).choice(len(usable), FIT_ROWS, replace=False)
        chosen = usable[np.sort(at)]
    sample = axes.apply(table.unit_rows(chosen))
    tried = {} if k else _silhouettes(sample, seed)
    count = k or max(tried, key=lambda c: (tried[c], -c))
    model = KMeans(count, n_init=4, random_state=seed).fit(sample)  # pyright: ignore[reportArgumentType]
    nearest = np.full(len(table), -1, np.int32)
    typical = [_Typical(representatives) for _ in range(count)]
    for start in range(0, len(table), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        rows = start + np.flatnonzero(table.stored.usable[block])
        if not len(rows):
            continue
        distance = model.transform(axes.of_rows(table, block)[rows - start])
        nearest[rows] = distance.argmin(axis=1)
        for number, one in enumerate(typical):
            inside = nearest[rows] == number
            one.add(rows[inside], distance[inside, number])
    order = np.argsort(-np.bincount(nearest[usable], minlength=count), kind="stable")
    rank = np.append(np.argsort(order), -1).astype(np.int32)
    return Clusters(count, rank[nearest], tuple(typical[c].rows() for c in order), tried, len(chosen))


def _silhouettes(sample: NDArray[np.float32], seed: int) -> dict[int, float]:
    """Score each candidate number of clusters on up to SILHOUETTE_ROWS rows."""
    rows = sample if len(sample) <= SILHOUETTE_ROWS else sample[:: len(sample) // SILHOUETTE_ROWS + 1]
    scores: dict[int, float] = {}
    for count in (c for c in CANDIDATES if c < len(rows)):
        model = KMeans(count, n_init=2, random_state=seed)  # pyright: ignore[reportArgumentType]
        labels = model.fit_predict(rows)
        if len(np.unique(labels)) > 1:
            scores[count] = float(silhouette_score(rows, labels))
    return scores or {1: 0.0}


class _Typical:
    """The rows closest to a centre, of rows that come in blocks."""

    def __init__(self, count: int) -> None:
        self._count, self._rows, self._distance = count, np.empty(0, np.int64), np.empty(0)

    def add(self, rows: NDArray[np.int64], distance: NDArray[np.floating]) -> None:
        rows, distance = np.append(self._rows, rows), np.append(self._distance, distance)
        order = np.argsort(distance, kind="stable")[: self._count]
        self._rows, self._distance = rows[order], distance[order]

    def rows(self) -> tuple[int, ...]:
        """The rows found, closest first."""
        return tuple(self._rows.tolist())
