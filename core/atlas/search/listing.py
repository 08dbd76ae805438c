"""Neighbours as plain rows, for commands and the HTTP service."""

from __future__ import annotations

from typing import Any

from ..store.table import EmbeddingTable
from .neighbors import Neighbors

SHOWN = (
    "unique_id",
    "product_id",
    "centre_lon",
    "centre_lat",
    "gsd_m",
    "recon_loss_low",
    "recon_loss_high",
    "pixel_bbox",
)


def rows_of(table: EmbeddingTable, found: Neighbors) -> list[dict[str, Any]]:
    """Describe each neighbour, best first: row, cosine similarity, duplicate, and the columns `SHOWN`."""
    pairs = zip(found.rows.tolist(), found.similarity.tolist(), found.duplicate.tolist(), strict=True)
    return [
        {"row": row, "similarity": round(similarity, 6), "duplicate": duplicate, **row_of(table, row)}
        for row, similarity, duplicate in pairs
    ]


def row_of(table: EmbeddingTable, row: int) -> dict[str, Any]:
    """The columns `SHOWN` of one row."""
    return table.columns.select(list(SHOWN)).slice(row, 1).to_pylist()[0]
