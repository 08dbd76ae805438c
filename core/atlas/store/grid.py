"""The grid of Major TOM with its 10 km cells (Francis and Czerkawski 2024, arXiv 2402.12095, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADIUS_KM = 6378.137
"""Major TOM's sphere has the equatorial radius of WGS84; distances use `geo.ground.MEAN_EARTH_RADIUS_M`."""


@dataclass(frozen=True, eq=False)
class GridCells:
    """Cells of n places: names such as `123U_45L`, rows (north positive) and columns (east positive)."""

    names: list[str | None]
    rows: NDArray[np.int16]
    cols: NDArray[np.int16]


def grid_cells(lon: NDArray[np.float64], lat: NDArray[np.float64], cell_km: float = 10.0) -> GridCells:
    """Name the cell of each place in degrees.

    A place that is not finite has the name None and the cell 0, 0.
    """
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = np.where(known, lon, 0.0), np.where(known, lat, 0.0)
    height = 180 / np.ceil(np.pi * RADIUS_KM / cell_km)
    rows = np.floor(np.minimum(lat, 90 - 1e-9) / height)
    slots = np.ceil(2 * np.pi * RADIUS_KM * np.cos(np.radians(rows * height)) / cell_km).clip(1)
    cols = np.floor(np.minimum(lon, 180 - 1e-9) * slots / 360)
    # A ring with an odd number of cells has one across the antimeridian.
    cols = np.where(cols < -(slots // 2), (slots - 1) // 2, cols)
    rows, cols = rows.astype(np.int16), cols.astype(np.int16)
    names = [_name(int(r), int(c)) if ok else None for r, c, ok in zip(rows, cols, known, strict=True)]
    return GridCells(names, rows, cols)


def _name(row: int, col: int) -> str:
    return f"{abs(row)}{'U' if row >= 0 else 'D'}_{abs(col)}{'R' if col >= 0 else 'L'}"
