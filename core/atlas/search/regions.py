"""Results from different parts of the Earth: at most one in each region."""

from __future__ import annotations

import numpy as np

from ...geo.ground import MEAN_EARTH_RADIUS_M, on_sphere
from ..store.table import EmbeddingTable
from .neighbors import Neighbors, nearest

REGION_KM = 1500.0
POOL = 2000


def nearest_elsewhere(
    table: EmbeddingTable, row: int, k: int = 12, *, region_km: float = REGION_KM
) -> Neighbors:
    """Find the k rows most similar to a row, all at least `region_km` from it and from each other.

    Searches the POOL most similar rows, so fewer than k are returned where look-alikes are all in few
    regions. Raises what `nearest` raises.
    """
    usable = int(table.stored.usable.sum()) - 1
    found = nearest(table, table.vectors_of([row])[0], max(1, min(POOL, usable)), exclude=[row])
    own, *places = on_sphere(table.lonlat[[row, *found.rows.tolist()]])
    kept: list[int] = []
    taken = [own]
    closest = np.cos(region_km * 1000 / MEAN_EARTH_RADIUS_M)
    for at, here in enumerate(places):
        if np.isfinite(here).all() and (np.array(taken) @ here < closest).all():
            kept.append(at)
            taken.append(here)
            if len(kept) == k:
                break
    return Neighbors(found.rows[kept], found.similarity[kept], found.duplicate[kept], found.note)
