"""Groups of rows: k-means on unit vectors, with the number of groups chosen by silhouette, and the tiles that stand for each."""

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
FIT_ROWS, JUDGE_ROWS = 20_000, 2_000


@dataclass(frozen=True, eq=False)
class Clusters:
    """Hold groups of rows, the largest first: `labels` (n,) int32, -1 where a row has no usable vector; `k` groups;
    `representatives` (k, up to r) rows closest to each centre, most central first; `silhouette` per k that was tried."""

    k: int
    labels: NDArray[np.int32]
    representatives: tuple[tuple[int, ...], ...]
    silhouette: dict[int, float]


def cluster(
    table: EmbeddingTable, k: int | None = None, *, seed: int = 0, representatives: int = 6
) -> Clusters:
    """Group rows by direction; without `k` the number with the best silhouette on a seeded sample is taken.

    Works on the first 32 principal axes. Raises SearchError when there are fewer usable rows than groups.
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
    found, distance = model.predict(points), model.transform(points)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    rank = np.argsort(order)
    labels = np.full(len(table), -1, np.int32)
    labels[usable] = rank[found]
    typical = tuple(_closest(usable, found == c, distance[:, c], representatives) for c in order)
    return Clusters(count, labels, typical, tried)


def _silhouettes(sample: NDArray[np.float32], seed: int) -> dict[int, float]:
    """Judge each candidate number of groups on up to JUDGE_ROWS rows."""
    rows = sample if len(sample) <= JUDGE_ROWS else sample[:: len(sample) // JUDGE_ROWS + 1]
    scores: dict[int, float] = {}
    for count in (c for c in CANDIDATES if c < len(rows)):
        labels = KMeans(count, n_init=2, random_state=seed).fit_predict(rows)  # pyright: ignore[reportArgumentType]
        if len(np.unique(labels)) > 1:
            scores[count] = float(silhouette_score(rows, labels))
    return scores or {1: 0.0}


def _closest(
    rows: NDArray[np.int64], mine: NDArray[np.bool_], distance: NDArray[np.floating], count: int
) -> tuple[int, ...]:
    members = np.flatnonzero(mine)
    nearest = members[np.argsort(distance[members], kind="stable")[:count]]
    return tuple(int(row) for row in rows[nearest])
