"""An approximate index for tables too large to read whole at every query.

The index is the graph of usearch (HNSW, Malkov and Yashunin 2018), built on request (`core search --index`).
`benchmarks/search.py --index` compares it with the exact scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from ..store.derived import derived_path, store
from ..store.table import EmbeddingTable
from .neighbors import (
    BLOCK_ROWS,
    Neighbors,
    count_available,
    flag_duplicates,
    require_count,
    require_rows,
    shortage,
    unit_query,
)


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """A table with the graph over its usable rows."""

    table: EmbeddingTable
    graph: Index

    def nearest(
        self, query: NDArray[np.floating], k: int = 10, *, exclude: Sequence[int] = (), effort: int = 128
    ) -> Neighbors:
        """Find about the k closest rows of a (d,) query, without those in `exclude`.

        `effort` is the number of candidates that the graph keeps while it searches. The 4k candidates found
        are compared exactly, so similarities are exact, but a row may be missed. Raises SearchError and notes
        a shortage like `nearest`.
        """
        require_count(k)
        require_rows(self.table, exclude)
        available = count_available(self.table.stored.usable, exclude)
        unit = unit_query(self.table, query)
        self.graph.expansion_search = max(effort, 2 * k)
        count = min(4 * (k + len(exclude)), len(self.graph))
        keys = np.asarray(self.graph.search(unit, count).keys, np.int64)
        candidates = np.setdiff1d(keys, np.asarray(exclude, np.int64))
        scores = self.table.unit_rows(candidates) @ unit
        order = np.lexsort((candidates, -scores))[:k]
        rows = candidates[order]
        missed = min(k, available) - len(rows)
        note = shortage(available, k)
        if missed:
            note = f"The index did not reach {missed:,} of the rows: search without it to see them."
        return Neighbors(rows, scores[order], flag_duplicates(self.table, unit, rows), note)


FIRST_ROWS = 20_000
"""Rows that are added on one thread: rows added to a small graph in parallel may never be linked."""


def build_index(
    table: EmbeddingTable, *, connections: int = 24, effort: int = 128, threads: int = 0
) -> ApproximateIndex:
    """Build the graph over unit vectors stored as int8, on all cores (`threads` 0).

    Takes minutes for a million rows. Raises TableError if the table mixes models.
    """
    table.require_one_model()
    graph = Index(ndim=table.dim, metric="cos", dtype="i8", connectivity=connections, expansion_add=effort)
    usable = np.flatnonzero(table.stored.usable)
    first, later = usable[:FIRST_ROWS], usable[FIRST_ROWS:]
    for rows in [first, *(later[start : start + BLOCK_ROWS] for start in range(0, len(later), BLOCK_ROWS))]:
        graph.add(rows.astype(np.uint64), table.unit_rows(rows), threads=1 if rows is first else threads)
    return ApproximateIndex(table, graph)


def open_index(table: EmbeddingTable) -> ApproximateIndex:
    """Open the index stored beside a table; builds it and stores it there, if possible, if it is missing."""
    path = derived_path(table, "index", "cos-i8-24-128", ".usearch")
    if path is not None and path.exists():
        graph = _restore(path)
        if graph is not None and graph.ndim == table.dim and len(graph) == int(table.stored.usable.sum()):
            return ApproximateIndex(table, graph)
    index = build_index(table)
    if path is not None:
        store(path, lambda part: index.graph.save(str(part)))
    return index


def _restore(path: Path) -> Index | None:
    try:
        return Index.restore(str(path), view=True)  # mapped: it may be larger than memory
    except (RuntimeError, ValueError, OSError):
        return None  # damaged: it is rebuilt
