"""The same places in two tables: rows that were cut from the same ground, whatever network read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import TableError
from ..store.table import EmbeddingTable

FEWEST = 3


@dataclass(frozen=True, eq=False)
class SamePlaces:
    """Hold pairs of rows, `a` (m,) of the one and `b` (m,) of the other table, in the order of the first."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]


def same_places(a: EmbeddingTable, b: EmbeddingTable) -> SamePlaces:
    """Pair usable rows of two tables with the same ground and GSD (to three figures), each row once at most.

    The same ground: centres that round to the same 1e-4 degree or, for rows without a place, the same window
    of the same picture. Raises TableError if either table mixes models, or if they share fewer than three
    places.
    """
    for table in (a, b):
        table.require_one_model()
    pairs = pairs_of(a, b)
    if len(pairs.a) < FEWEST:
        raise TableError(
            f"{a.name} and {b.name} share {len(pairs.a)} places, too few to compare: "
            "embed the same imagery with both models, at the same scale."
        )
    return pairs


def pairs_of(a: EmbeddingTable, b: EmbeddingTable) -> SamePlaces:
    """Pair rows as `same_places` does, of any two tables: possibly none."""
    placed, others = (
        keys_a.merge(keys_b, on=[*keys_a.columns[1:]], suffixes=("_a", "_b"))
        for keys_a, keys_b in zip(_keys(a), _keys(b), strict=True)
    )
    rows = pd.concat([placed, others])[["row_a", "row_b"]].to_numpy(np.int64)
    return SamePlaces(*rows[np.argsort(rows[:, 0], kind="stable")].T)


def _keys(table: EmbeddingTable) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return usable rows with a place, by centre and GSD, and the others by picture, window and GSD.

    Of rows with the same key, only the first.
    """
    rows = np.flatnonzero(table.stored.usable)
    lon, lat = np.round(table.lonlat[rows] * 1e4).T
    gsd, back = np.unique(table.columns["gsd_m"].to_numpy().astype(np.float64)[rows], return_inverse=True)
    gsd = np.array([float(f"{metres:.3g}") for metres in gsd.tolist()])[back]
    here = np.isfinite(lon)
    placed = pd.DataFrame(
        {"row": rows[here], "lon": (lon[here] + 1_800_000) % 3_600_000, "lat": lat[here], "gsd": gsd[here]}
    )
    bare = table.columns.select(["product_id", "pixel_bbox"]).take(rows[~here]).to_pydict()
    windows = [
        f"{product} {box}" if box else ""
        for product, box in zip(bare["product_id"], bare["pixel_bbox"], strict=True)
    ]
    others = pd.DataFrame({"row": rows[~here], "window": pd.Series(windows, dtype=object), "gsd": gsd[~here]})
    return placed.drop_duplicates(["lon", "lat", "gsd"]), others.query("window != ''").drop_duplicates(
        ["window", "gsd"]
    )
