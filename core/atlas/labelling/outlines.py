"""Where the rows of a table lie: outlines, bounds and centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute
import shapely
from numpy.typing import NDArray

from ..store.table import EmbeddingTable

pc: Any = pyarrow.compute


def outlines_of(table: EmbeddingTable, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the outlines of rows (m,); their centre as a point where a row has no outline."""
    shapes = np.asarray(shapely.from_wkb(table.columns["geometry"].take(rows).to_numpy()), object)
    bare = ~shapely.is_geometry(shapes)
    shapes[bare] = shapely.points(table.lonlat[rows[bare]])
    return shapes


def bounds_of(table: EmbeddingTable) -> NDArray[np.float64]:
    """Return west, south, east and north (4, n) of every row, its centre where the table has no bounds."""
    box = table.columns["bbox"].combine_chunks()
    sides = np.stack(
        [
            pc.struct_field(box, name).to_numpy(zero_copy_only=False).astype(np.float64)
            for name in ("xmin", "ymin", "xmax", "ymax")
        ]
    )
    centre = np.concatenate([table.lonlat.T, table.lonlat.T])
    return np.where(np.isfinite(sides), sides, centre)


def on_sphere(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes and latitudes (m, 2) as points (m, 3) of the unit sphere."""
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
