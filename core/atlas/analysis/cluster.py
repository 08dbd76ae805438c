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
    per k that was tried.
    """

    k: int
    labels: NDArray[np.int32]
    representatives: tuple[tuple[int, ...], ...]
    silhouette: dict[int, float]


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
    points = np.concatenate(
        [axes.apply(table.unit_rows(usable[s : s + BLOCK_ROWS])) for s in range(0, len(usable), BLOCK_ROWS)]
    )
    generator = np.random.default_rng(seed)
    sample = (
        points
        if len(points) <= FIT_ROWS
        else points[np.sort(generator.choice(len(points), FIT_ROWS, replace=False))]
    )
    tried = {} if k else _silhouettes(sample, seed)
    count = k or max(tried, key=lambda c: (tried[c], -c))
    model = KMeans(count, n_init=4, random_state=seed).fit(sample)  # pyright: ignore[reportArgumentType]
    clusters, distance = model.predict(points), model.transform(points)
    order = np.argsort(-np.bincount(clusters, minlength=count), kind="stable")
    rank = np.argsort(order)
    labels = np.full(len(table), -1, np.int32)
    labels[usable] = rank[clusters]
    typical = tuple(_closest(usable, clusters == c, distance[:, c], representatives) for c in order)
    return Clusters(count, labels, typical, tried)


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


def _closest(
    rows: NDArray[np.int64], inside: NDArray[np.bool_], distance: NDArray[np.floating], count: int
) -> tuple[int, ...]:
    members = np.flatnonzero(inside)
    nearest = members[np.argsort(distance[members], kind="stable")[:count]]
    return tuple(int(row) for row in rows[nearest])
