"""The same places in two tables: rows that were cut from the same ground, whatever network read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.atlas.errors import TableError
from core.atlas.table import EmbeddingTable


@dataclass(frozen=True, eq=False)
class SamePlaces:
    """Hold pairs of rows, `a` (m,) of the one and `b` (m,) of the other table, in the order of the first."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]


def same_places(a: EmbeddingTable, b: EmbeddingTable) -> SamePlaces:
    """Pair the usable rows of two tables that show the same ground at the same GSD (three figures), each row at most once.

    The same ground: centres that round to the same 1e-4 degree, or, without a place, the same window of the same picture. Raises TableError
    when either table mixes models, or when they share fewer than three places.
    """
    for table in (a, b):
        table.require_one_model()
    pairs = _keys(a).merge(_keys(b), on="key", suffixes=("_a", "_b")).sort_values("row_a")
    if len(pairs) < 3:
        raise TableError(
            f"{a.name} and {b.name} share {len(pairs)} places, too few to compare: embed the same imagery with both models, at the same scale."
        )
    return SamePlaces(pairs["row_a"].to_numpy(np.int64), pairs["row_b"].to_numpy(np.int64))


def _keys(table: EmbeddingTable) -> pd.DataFrame:
    """Give a key for every usable row that has one; of rows with the same key the first."""
    rows = np.flatnonzero(table.stored.usable)
    lonlat = np.round(table.lonlat[rows], 4) + 0.0
    gsd = table.columns["gsd_m"].to_numpy().astype(np.float64)[rows]
    windows, products = (table.columns[name].to_pylist() for name in ("pixel_bbox", "product_id"))
    keys: list[Any] = []
    for row, (lon, lat), metres in zip(rows.tolist(), lonlat.tolist(), gsd.tolist(), strict=True):
        scale = f"{metres:.3g}"
        if np.isfinite(lon):
            keys.append(f"{(lon + 180) % 360 - 180:.4f} {lat:.4f} {scale}")
        elif windows[row]:
            keys.append(f"{products[row]} {windows[row]} {scale}")
        else:
            keys.append(None)
    return pd.DataFrame({"row": rows, "key": keys}).dropna(subset="key").drop_duplicates("key")
