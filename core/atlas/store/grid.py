"""The shared chip grid of the field: Major TOM's 10 km cells (Francis & Czerkawski 2024, arXiv 2402.12095, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_KM = 6378.137


@dataclass(frozen=True, eq=False)
class GridCells:
    """Cells of n places: names such as `0123U_0045L`, rows (north positive) and columns (east positive) as int16."""

    names: list[str | None]
    rows: NDArray[np.int16]
    cols: NDArray[np.int16]


def grid_cells(lon: NDArray[np.float64], lat: NDArray[np.float64], cell_km: float = 10.0) -> GridCells:
    """Name the Major TOM cell of each place (degrees), anchored at (0, 0); a place that is not finite has the name None and cell 0, 0."""
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = np.where(known, lon, 0.0), np.where(known, lat, 0.0)
    height = 180 / np.ceil(np.pi * EARTH_RADIUS_KM / cell_km)
    rows = np.floor(np.minimum(lat, 90 - 1e-9) / height)
    slots = np.ceil(2 * np.pi * EARTH_RADIUS_KM * np.cos(np.radians(rows * height)) / cell_km).clip(1)
    cols = np.floor(np.minimum(lon, 180 - 1e-9) * slots / 360)
    cols = np.where(
        cols < -(slots // 2), (slots - 1) // 2, cols
    )  # an odd ring has one cell across the antimeridian
    rows, cols = rows.astype(np.int16), cols.astype(np.int16)
    names = [_name(int(r), int(c)) if ok else None for r, c, ok in zip(rows, cols, known, strict=True)]
    return GridCells(names, rows, cols)


def _name(row: int, col: int) -> str:
    return f"{abs(row)}{'U' if row >= 0 else 'D'}_{abs(col)}{'R' if col >= 0 else 'L'}"
