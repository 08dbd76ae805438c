"""An approximate index for tables too large to read whole at every query: usearch's graph (HNSW, Malkov and Yashunin 2018).

`benchmarks/search.py --index` compares it with the exact scan in one run; it is built where `core search --index` asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from ..store.derived import derived_path, keep
from ..store.table import EmbeddingTable
from .neighbors import (
    BLOCK_ROWS,
    Neighbors,
    few,
    flag_duplicates,
    require_count,
    require_rows,
    rows_left,
    unit_query,
)


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """Join a table with the graph over its usable rows."""

    table: EmbeddingTable
    graph: Index

    def nearest(
        self, query: NDArray[np.floating], k: int = 10, *, exclude: Sequence[int] = (), effort: int = 128
    ) -> Neighbors:
        """Find about the k closest rows of a (d,) query other than `exclude`; `effort` is how many candidates the graph keeps while it walks.

        What the graph finds (four times k) is compared exactly, so similarities are exact and only a missed row is approximate. Raises SearchError as
        `nearest` does, and says in the same words where there are fewer rows than asked for.
        """
        require_count(k)
        require_rows(self.table, exclude)
        left = rows_left(self.table.stored.usable, exclude)
        unit = unit_query(self.table, query)
        self.graph.expansion_search = max(effort, 2 * k)
        wanted = min(4 * (k + len(exclude)), len(self.graph))
        found = np.setdiff1d(
            np.asarray(self.graph.search(unit, wanted).keys, np.int64), np.asarray(exclude, np.int64)
        )
        scores = self.table.unit_rows(found) @ unit
        order = np.lexsort((found, -scores))[:k]
        rows = found[order]
        missed = min(k, left) - len(rows)
        note = (
            f"The index did not reach {missed:,} of the rows: search without it to see them."
            if missed
            else few(left, k)
        )
        return Neighbors(rows, scores[order], flag_duplicates(self.table, unit, rows), note)


ALONE_ROWS = 20_000
"""So many rows begin a graph one after the other: rows that join a small graph side by side can miss each other for good."""


def build_index(
    table: EmbeddingTable, *, connections: int = 24, effort: int = 128, threads: int = 0
) -> ApproximateIndex:
    """Build the graph over unit vectors kept as int8; all cores (`threads` 0) once it has begun. Takes minutes for a million rows.

    Raises TableError when the table mixes models.
    """
    table.require_one_model()
    graph = Index(ndim=table.dim, metric="cos", dtype="i8", connectivity=connections, expansion_add=effort)
    usable = np.flatnonzero(table.stored.usable)
    first, later = usable[:ALONE_ROWS], usable[ALONE_ROWS:]
    for rows in [first, *(later[start : start + BLOCK_ROWS] for start in range(0, len(later), BLOCK_ROWS))]:
        graph.add(rows.astype(np.uint64), table.unit_rows(rows), threads=1 if rows is first else threads)
    return ApproximateIndex(table, graph)


def open_index(table: EmbeddingTable) -> ApproximateIndex:
    """Open the index kept beside a table, or build it and keep it there (in memory only where the folder cannot be written)."""
    path = derived_path(table, "index", "cos-i8-24-128", ".usearch")
    if path is not None and path.exists():
        graph = _restored(path)
        if graph is not None and graph.ndim == table.dim and len(graph) == int(table.stored.usable.sum()):
            return ApproximateIndex(table, graph)
    index = build_index(table)
    if path is not None:
        keep(path, lambda part: index.graph.save(str(part)))
    return index


def _restored(path: Path) -> Index | None:
    try:
        return Index.restore(str(path))
    except (RuntimeError, ValueError, OSError):
        return None  # damaged: it is built again
