"""Two-dimensional projections of a table, PCA or UMAP; seeded, and cached beside the table.

PCA: of unit vectors about their mean, each axis signed so that its largest loading is positive. UMAP:
McInnes, Healy and Melville 2018 (umap-learn), fitted on a seeded sample and applied to the other rows and to
new vectors.
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
from ..search.kernels import coordinates
from ..search.neighbors import BLOCK_ROWS, SAME, nearest_many
from ..store.derived import derived_path, store
from ..store.table import EmbeddingTable
from .oklab import calm_colours


@dataclass(frozen=True)
class ProjectionSpec:
    """A projection; for UMAP with its neighbourhood size, minimum distance, seed and rows to fit on."""

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
    """Principal axes: `mean` (d,), orthonormal `components` (c, d), `explained` (c,) share of variance."""

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    explained: NDArray[np.float32]

    def apply(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (m, c) coordinates of (m, d) unit vectors."""
        return np.asarray((units - self.mean) @ self.components.T, np.float32)

    def of_rows(
        self, table: EmbeddingTable, rows: slice | NDArray[np.int64] = slice(None)
    ) -> NDArray[np.float32]:
        """Return the (m, c) coordinates of rows of a table, NaN without a usable vector."""
        stored = table.stored
        found = coordinates(stored.values[rows], stored.inverse_norm[rows], self.components)
        found -= self.components @ self.mean
        found[~stored.usable[rows]] = np.nan
        return found


@dataclass(frozen=True, eq=False)
class Projection:
    """Coordinates `xy` (n, 2) float32, NaN without a usable vector; `explained` shares (PCA only)."""

    spec: ProjectionSpec
    xy: NDArray[np.float32]
    explained: NDArray[np.float32]


_AXES: WeakKeyDictionary[EmbeddingTable, Axes] = WeakKeyDictionary()
"""The axes of open tables, d x d x 4 bytes each, freed with their table."""


_STRETCHES: WeakKeyDictionary[EmbeddingTable, NDArray[np.float32]] = WeakKeyDictionary()


def principal_axes(table: EmbeddingTable, count: int = 2) -> Axes:
    """Return the first `count` principal axes of a table's unit vectors.

    Raises SearchError if the table has fewer than two usable rows.
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


def fit_note(table: EmbeddingTable) -> str:
    """Say how many rows the axes were fitted on; empty if on all of them."""
    count = int(np.count_nonzero(table.stored.usable))
    if count <= AXES_ROWS:
        return ""
    return f"The axes of the projection were fitted on a random {AXES_ROWS:,} of the {count:,} rows."


def _all_axes(table: EmbeddingTable, usable: NDArray[np.int64]) -> Axes:
    """Compute all axes from the (d, d) covariance of at most AXES_ROWS rows, summed block by block."""
    usable = _sampled(usable, AXES_ROWS, seed=0)
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
    axes = Axes(*(array.astype(np.float32) for array in (mean, components, explained)))
    for array in (axes.mean, axes.components, axes.explained):
        array.flags.writeable = False
    return axes


AXES_ROWS = 200_000
"""Larger tables have their principal axes fitted on a seeded sample of this many rows."""

UMAP_ROWS = 1_000_000
"""UMAP places a few hundred rows a second, so larger tables are refused."""

MOST_EXTRA_BYTES = 2**20
"""Most bytes of a stored projection beside two coordinates per row; larger files are rejected."""


def project(table: EmbeddingTable, spec: ProjectionSpec = ProjectionSpec()) -> Projection:
    """Project a table to two dimensions; read from beside the table if it has been computed before."""
    path = derived_path(table, "projection", repr(spec), ".npz")
    stored = _load(path, len(table))
    if stored is not None:
        return Projection(spec, *stored)
    if spec.kind == "pca":
        axes = principal_axes(table)
        xy, explained = axes.of_rows(table), axes.explained
    else:
        umap = _fit_umap(table, spec)
        xy, explained = _apply_umap(table, umap, _sample_rows(table, spec)), np.zeros(0, np.float32)
    if path is not None:
        store(path, lambda part: _save(part, xy, explained))
    return Projection(spec, xy, explained)


def place(
    table: EmbeddingTable, spec: ProjectionSpec, vectors: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Return the coordinates (m, 2) of (m, d) vectors in a table's projection.

    A vector that a row of the table has (cosine above SAME) gets the coordinates of that row. For new
    vectors, PCA is exact; UMAP places them near similar rows, up to about a unit away from where a new fit
    would. Raises SearchError for another width.
    """
    vectors = np.atleast_2d(np.asarray(vectors, np.float32))
    if vectors.shape[1] != table.dim:
        raise SearchError(
            f"The vectors have {vectors.shape[1]} values, the table's {table.dim}: "
            "embed them with the table's model."
        )
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if spec.kind == "pca":
        return np.asarray(principal_axes(table).apply(units), np.float32)
    rows = _matching_rows(table, vectors)
    xy = np.empty((len(vectors), 2), np.float32)
    xy[rows >= 0] = project(table, spec).xy[rows[rows >= 0]]
    if (rows < 0).any():
        xy[rows < 0] = _fit_umap(table, spec).transform(units[rows < 0])
    return xy


def _matching_rows(table: EmbeddingTable, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the row of a table with the same vector for each of (m, d); -1 if there is none."""
    rows = np.full(len(vectors), -1, np.int64)
    valid = np.flatnonzero(vectors.any(axis=1) & np.isfinite(vectors).all(axis=1))
    for i, neighbors in zip(valid, nearest_many(table, vectors[valid], 1), strict=True):
        if len(neighbors.rows) and neighbors.similarity[0] >= SAME:
            rows[i] = neighbors.rows[0]
    return rows


def colours(table: EmbeddingTable, rows: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
    """Return (n, 3) calm colours of the first three principal axes; similar vectors have similar colours.

    `rows` gives the colours of these rows only. Each axis is stretched between its 2nd and 98th percentile;
    the first two give the hue, the third the lightness, in OKLab (`calm_colours`). Rows without a usable
    vector are grey.
    """
    low, high = _stretch(table)
    values = principal_axes(table, 3).of_rows(table, slice(None) if rows is None else rows)
    share = (values - low) / np.maximum(high - low, 1e-12)
    rgb = calm_colours(np.nan_to_num(2 * share - 1))
    rgb[~np.isfinite(values).all(axis=1)] = 128
    return rgb


def _stretch(table: EmbeddingTable) -> NDArray[np.float32]:
    """Return the 2nd and 98th percentile (2, 3) of the first three axes, of at most AXES_ROWS rows."""
    found = _STRETCHES.get(table)
    if found is None:
        sample = _sampled(np.flatnonzero(table.stored.usable), AXES_ROWS, seed=0)
        values = principal_axes(table, 3).of_rows(table, sample)
        found = _STRETCHES[table] = np.percentile(values, [2, 98], axis=0).astype(np.float32)
    return found


def _apply_umap(table: EmbeddingTable, umap: Any, sample: NDArray[np.int64]) -> NDArray[np.float32]:
    """Place every usable row, block by block; those of the sample have their fitted coordinates."""
    xy = np.full((len(table), 2), np.nan, np.float32)
    xy[sample] = umap.embedding_
    todo = np.setdiff1d(np.flatnonzero(table.stored.usable), sample, assume_unique=True)
    for start in range(0, len(todo), BLOCK_ROWS):
        rows = todo[start : start + BLOCK_ROWS]
        xy[rows] = umap.transform(table.unit_rows(rows))
    return xy


def _sampled(rows: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Return at most `count` rows, ascending, drawn at random with a seed."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def _sample_rows(table: EmbeddingTable, spec: ProjectionSpec) -> NDArray[np.int64]:
    return _sampled(np.flatnonzero(table.stored.usable), spec.sample, seed=spec.seed)


@lru_cache(maxsize=4)
def _fit_umap(table: EmbeddingTable, spec: ProjectionSpec) -> Any:
    """Fit UMAP on a table's sample; repeatable on one machine."""
    from umap import UMAP  # late, because it compiles for seconds

    if len(table) > UMAP_ROWS:
        raise SearchError(
            f"UMAP would take hours for {len(table):,} rows: use PCA, or keep at most {UMAP_ROWS:,} rows."
        )
    rows = _sample_rows(table, spec)
    if len(rows) <= 3:
        raise SearchError("UMAP needs at least four rows with vectors: use PCA, or embed more places.")
    neighbors = max(2, min(spec.neighbors, len(rows) - 1))
    reducer = UMAP(
        n_neighbors=neighbors, min_dist=spec.min_dist, metric="cosine", random_state=spec.seed, n_jobs=1
    )
    return reducer.fit(table.unit_rows(rows))


def _load(path: Path | None, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if path is None or not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > 16 * count + MOST_EXTRA_BYTES:
                return None
        with np.load(path, allow_pickle=False) as stored:
            xy, explained = stored["xy"], stored["explained"]
    except (OSError, ValueError, KeyError, MemoryError, zipfile.BadZipFile):
        return None  # a damaged file is recomputed
    return (xy, explained) if xy.shape == (count, 2) else None


def _save(part: Path, xy: NDArray[np.float32], explained: NDArray[np.float32]) -> None:
    with part.open("wb") as stream:
        np.savez(stream, xy=xy, explained=explained)
