"""Two-dimensional pictures of a table: PCA always, UMAP where asked for; seeded, and cached beside the table by spec.

PCA: singular value decomposition of unit vectors about their mean, each axis signed so that its largest loading is positive.
UMAP: McInnes, Healy and Melville 2018 (umap-learn), fitted on a seeded sample and applied to the other rows and to new ones.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import SearchError
from ..search.neighbors import BLOCK_ROWS, SAME, nearest_many
from ..store.derived import derived_path, keep
from ..store.table import EmbeddingTable


@dataclass(frozen=True)
class ProjectionSpec:
    """Choose a projection: `kind`, and for UMAP its neighbourhood size, least distance, seed and the rows it is fitted on."""

    kind: Literal["pca", "umap"] = "pca"
    neighbors: int = 15
    min_dist: float = 0.1
    seed: int = 0
    sample: int = 20_000

    def __post_init__(self) -> None:
        if self.kind not in ("pca", "umap"):
            raise SearchError(f"There is no projection {self.kind!r:.40}: choose pca or umap.")


@dataclass(frozen=True, eq=False)
class Axes:
    """Hold principal axes: `mean` (d,), `components` (c, d) orthonormal, `explained` (c,) shares of the variance."""

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    explained: NDArray[np.float32]

    def apply(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the (m, c) coordinates of (m, d) unit vectors."""
        return np.asarray((units - self.mean) @ self.components.T, np.float32)


@dataclass(frozen=True, eq=False)
class Projection:
    """Hold the picture of a table: `xy` (n, 2) float32, NaN for rows without a usable vector; `explained` shares (PCA only)."""

    spec: ProjectionSpec
    xy: NDArray[np.float32]
    explained: NDArray[np.float32]


_AXES: WeakKeyDictionary[EmbeddingTable, Axes] = WeakKeyDictionary()
"""The axes of tables that are open, d x d x 4 bytes each; a table that is forgotten takes its own with it."""


def principal_axes(table: EmbeddingTable, count: int = 2) -> Axes:
    """Find the first principal axes of a table's unit vectors, from the (d, d) covariance summed block by block.

    Raises SearchError when the table has fewer than two usable rows or the axes asked for exceed the width.
    """
    table.require_one_model()
    usable = np.flatnonzero(table.stored.usable)
    count = min(count, table.dim)
    if len(usable) < 2:
        raise SearchError("A projection needs at least two rows with vectors: embed more places.")
    axes = _AXES.get(table)
    if axes is None:
        axes = _AXES[table] = _all_axes(table, usable)
    return Axes(axes.mean, axes.components[:count], axes.explained[:count])


def _all_axes(table: EmbeddingTable, usable: NDArray[np.int64]) -> Axes:
    """Work out every axis in one pass over the vectors: a layout, its colours and its groups all begin with them."""
    total, square = np.zeros(table.dim), np.zeros((table.dim, table.dim))
    for start in range(0, len(usable), BLOCK_ROWS):
        block = table.unit_rows(usable[start : start + BLOCK_ROWS])
        total += block.sum(axis=0, dtype=np.float64)
        square += block.T @ block
    mean = total / len(usable)
    values, vectors = np.linalg.eigh(square / len(usable) - np.outer(mean, mean))
    components = vectors[:, ::-1].T
    components = components * np.sign(
        np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    )
    explained = values[::-1].clip(0) / max(values.clip(0).sum(), 1e-30)
    found = Axes(*(array.astype(np.float32) for array in (mean, components, explained)))
    for array in (found.mean, found.components, found.explained):
        array.flags.writeable = False
    return found


KEPT_BYTES = 2**20
"""What a kept projection may hold beside its two coordinates a row; a file that unpacks to more is not one."""


def project(table: EmbeddingTable, spec: ProjectionSpec = ProjectionSpec()) -> Projection:
    """Lay a table out in two dimensions; read from beside the table where the same table and spec were laid out before."""
    path = derived_path(table, "projection", repr(spec), ".npz")
    kept = _kept(path, len(table))
    if kept is not None:
        return Projection(spec, *kept)
    if spec.kind == "pca":
        axes = principal_axes(table)
        xy, explained = _everywhere(table, axes.apply), axes.explained
    else:
        xy, explained = (
            _everywhere(table, _fitted(table, spec).transform, _embedded(table, spec)),
            np.zeros(0, np.float32),
        )
    if path is not None:
        keep(path, lambda part: _save(part, xy, explained))
    return Projection(spec, xy, explained)


def place(
    table: EmbeddingTable, spec: ProjectionSpec, vectors: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Give where (m, d) vectors fall in a table's projection, as (m, 2).

    A vector that a row of the table has (cosine above SAME) gets that row's own spot, as `project` plots it. A new one gets what PCA's axes say,
    exactly; of UMAP, what `transform` makes of the fitted rows nearest to it: among its like, but possibly a unit or so from where a fit that
    knew it would have put it. Raises SearchError for another width.
    """
    vectors = np.atleast_2d(np.asarray(vectors, np.float32))
    if vectors.shape[1] != table.dim:
        raise SearchError(
            f"The vectors have {vectors.shape[1]} values, the table's {table.dim}: embed them with the table's model."
        )
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if spec.kind == "pca":
        return np.asarray(principal_axes(table).apply(units), np.float32)
    rows = _own_rows(table, vectors)
    xy = np.empty((len(vectors), 2), np.float32)
    xy[rows >= 0] = project(table, spec).xy[rows[rows >= 0]]
    if (rows < 0).any():
        xy[rows < 0] = _fitted(table, spec).transform(units[rows < 0])
    return xy


def _own_rows(table: EmbeddingTable, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The row of a table that has a vector, for each of (m, d); -1 for those that none has."""
    rows = np.full(len(vectors), -1, np.int64)
    pointing = np.flatnonzero(vectors.any(axis=1) & np.isfinite(vectors).all(axis=1))
    for at, found in zip(
        pointing, nearest_many(table, vectors[pointing], 1) if len(pointing) else (), strict=True
    ):
        if len(found.rows) and found.similarity[0] >= SAME:
            rows[at] = found.rows[0]
    return rows


def colours(table: EmbeddingTable) -> NDArray[np.uint8]:
    """Give (n, 3) colours: the first three principal axes, each stretched between its 2nd and 98th percentile; grey where unusable."""
    values = _everywhere(table, principal_axes(table, 3).apply)
    shown = values[table.stored.usable]
    low, high = np.percentile(shown, [2, 98], axis=0)
    rgb = ((values - low) / np.maximum(high - low, 1e-12)).clip(0, 1) * 255
    return np.where(np.isfinite(rgb), np.rint(rgb), 128).astype(np.uint8)


def _everywhere(
    table: EmbeddingTable, apply: Any, known: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
) -> NDArray[np.float32]:
    """Apply a projection to every usable row, block by block; rows that are `known` already keep their place."""
    usable = np.flatnonzero(table.stored.usable)
    todo = usable if known is None else np.setdiff1d(usable, known[0], assume_unique=True)
    xy: NDArray[np.float32] | None = None
    if known is not None:
        xy = np.full((len(table), known[1].shape[1]), np.nan, np.float32)
        xy[known[0]] = known[1]
    for start in range(0, len(todo), BLOCK_ROWS):
        rows = todo[start : start + BLOCK_ROWS]
        found = apply(table.unit_rows(rows))
        if xy is None:
            xy = np.full((len(table), found.shape[1]), np.nan, np.float32)
        xy[rows] = found
    return xy if xy is not None else np.full((len(table), 2), np.nan, np.float32)


def _sampled(table: EmbeddingTable, spec: ProjectionSpec) -> NDArray[np.int64]:
    usable = np.flatnonzero(table.stored.usable)
    if len(usable) <= spec.sample:
        return usable
    return np.sort(np.random.default_rng(spec.seed).choice(usable, spec.sample, replace=False))


@lru_cache(maxsize=4)
def _fitted(table: EmbeddingTable, spec: ProjectionSpec) -> Any:
    """Fit UMAP on a table's sample: the same table, spec and seed give the same map on one machine."""
    from umap import UMAP  # imported late: it compiles for seconds

    rows = _sampled(table, spec)
    if len(rows) <= 3:
        raise SearchError("UMAP needs at least four rows with vectors: use PCA, or embed more places.")
    neighbors = max(2, min(spec.neighbors, len(rows) - 1))
    reducer = UMAP(
        n_neighbors=neighbors, min_dist=spec.min_dist, metric="cosine", random_state=spec.seed, n_jobs=1
    )
    return reducer.fit(table.unit_rows(rows))


def _embedded(table: EmbeddingTable, spec: ProjectionSpec) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return _sampled(table, spec), np.asarray(_fitted(table, spec).embedding_, np.float32)


def _kept(path: Path | None, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if path is None or not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > 16 * count + KEPT_BYTES:
                return None
        with np.load(path, allow_pickle=False) as kept:
            xy, explained = kept["xy"], kept["explained"]
    except (OSError, ValueError, KeyError, MemoryError, zipfile.BadZipFile):
        return None  # a damaged cache is no reason to stop: it is computed again
    return (xy, explained) if xy.shape == (count, 2) else None


def _save(part: Path, xy: NDArray[np.float32], explained: NDArray[np.float32]) -> None:
    with part.open("wb") as stream:
        np.savez(stream, xy=xy, explained=explained)
