"""Pixels of embedding rasters as rows of a table, each with its footprint; large rasters are thinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from ...geo import ground
from ..errors import TableError
from ..formats import VectorGrid, unreadable_raster
from ..formats.grid import quiet_rasterio
from ..schema import BBOX, make_rows
from .integrity import require_bounded, require_memory
from .outline import geometry_columns, outline_of_ring

MAX_VALUES = 2**27
"""Half a gigabyte of float32."""
MAX_ROWS = 2**20
READ_COPIES = 3
"""Copies of the values in memory while they are read."""
VALUES_AT_ONCE = 2**24

Bounds = tuple[float, float, float, float]
Floats = NDArray[np.float64]


class NoVectorError(TableError):
    """A raster without a vector where it was read."""


@dataclass(frozen=True, eq=False)
class GridPart:
    """The rows and columns of a grid that a table shows: every `step`-th pixel of a window."""

    grid: VectorGrid
    rows: range
    cols: range

    @property
    def count(self) -> int:
        """The number of pixels."""
        return len(self.rows) * len(self.cols)


def windows(grids: Sequence[VectorGrid], bounds: Bounds | None = None) -> list[GridPart]:
    """Choose the pixels of grids that become rows: those in `bounds` (west, south, east, north in degrees).

    If they are more than MAX_ROWS or MAX_VALUES together, every second, third, ... row and column is taken.
    Raises TableError if no grid reaches into the bounds.
    """
    whole = [part for grid in grids if (part := _window(grid, bounds)) is not None]
    if not whole:
        raise TableError(
            f"No part of {grids[0].constants.get('product_id', grids[0].name)} lies in that area."
        )
    pixels = sum(part.count for part in whole)
    values = sum(part.count * part.grid.dim for part in whole)
    step = max(1, math.isqrt(max(pixels // MAX_ROWS, values // MAX_VALUES)))
    while (
        sum(_thinned(part, step).count for part in whole) > MAX_ROWS
        or sum(_thinned(part, step).count * part.grid.dim for part in whole) > MAX_VALUES
    ):
        step += 1
    return [_thinned(part, step) for part in whole]


def notes_of(parts: Sequence[GridPart]) -> tuple[str, ...]:
    """Return what the user should know about grids and what was left out of them."""
    step = parts[0].rows.step
    notes = [note for part in parts for note in part.grid.notes]
    if step > 1:
        notes.append(
            f"Only every {_ordinal(step)} pixel in each direction is shown, "
            f"{sum(part.count for part in parts):,} in all: open a smaller area to see every one."
        )
    return tuple(dict.fromkeys(notes))


def rows_of(part: GridPart, path: Path) -> pa.Table:
    """Read the pixels of a part that have a vector, as rows with centre, outline and GSD.

    The `unique_id` is the name of the grid with row and column. Raises TableError for a damaged file, and one
    that unpacks to far more than its size explains.
    """
    from rasterio.errors import RasterioError

    grid, name = part.grid, path.name
    needed = READ_COPIES * 4.0 * part.count * grid.dim
    require_memory(name, needed)
    if grid.file_bytes is not None:
        require_bounded(name, needed, grid.file_bytes)
    pieces: list[NDArray[np.float32]] = []
    indices: list[NDArray[np.int64]] = []
    deep = max(1, VALUES_AT_ONCE // max(1, len(part.cols) * grid.dim))
    columns = slice(part.cols.start, part.cols.stop, part.cols.step)
    try:
        with quiet_rasterio():
            for first in range(0, len(part.rows), deep):
                lines = part.rows[first : first + deep]
                vectors = grid.read(slice(lines.start, lines.stop, lines.step), columns).reshape(-1, grid.dim)
                kept = np.flatnonzero(np.isfinite(vectors[:, 0]) & np.isfinite(vectors).all(axis=1))
                pieces.append(vectors[kept])
                indices.append(kept + first * len(part.cols))
    except (RasterioError, OSError, ValueError) as error:
        raise unreadable_raster(path) from error
    at = np.concatenate(indices)
    if not len(at):
        raise NoVectorError(f"No pixel of {name} has a vector there: open another area, or another file.")
    row, col = np.divmod(at, len(part.cols))
    row, col = part.rows.start + row * part.rows.step, part.cols.start + col * part.cols.step
    given: dict[str, Any] = {
        "unique_id": [f"{grid.name}-r{r}-c{c}" for r, c in zip(row.tolist(), col.tolist(), strict=True)]
    }
    given |= {key: [value] * len(at) for key, value in grid.constants.items() if value is not None}
    placed = _placed(grid, row, col, "gsd_m" in given)
    try:
        return make_rows(np.concatenate(pieces), {**given, **placed})
    except (pa.ArrowException, OverflowError, ValueError) as error:  # a recipe that holds something else
        raise unreadable_raster(path) from error


def _window(grid: VectorGrid, bounds: Bounds | None) -> GridPart | None:
    whole = GridPart(grid, range(grid.rows), range(grid.cols))
    if bounds is None:
        return whole
    if grid.crs is None or grid.transform is None:
        raise TableError(f"{grid.name} does not say where it is, so no area of it can be chosen.")
    west, south, east, north = bounds
    if not (
        np.isfinite(bounds).all()
        and -90 <= south < north <= 90
        and -180 <= west <= 180
        and west < east <= 540
    ):
        raise TableError(
            f"{west:g}, {south:g}, {east:g}, {north:g} is not an area: "
            "give west, south, east and north in degrees."
        )
    edge = np.linspace(0, 1, 21)
    lon = np.concatenate([west + (east - west) * edge] * 2 + [np.full(21, west), np.full(21, east)])
    lat = np.concatenate([np.full(21, south), np.full(21, north)] + [south + (north - south) * edge] * 2)
    found = [
        ground.to_pixel(grid.crs, grid.transform, pair)
        for pair in zip(lon.tolist(), lat.tolist(), strict=True)
    ]
    inside = np.array([pixel for pixel in found if pixel is not None]).reshape(-1, 2)
    if not len(inside):
        return None
    (left, top), (right, bottom) = inside.min(axis=0), inside.max(axis=0)
    # A pixel belongs to the area if its centre lies in it.
    rows = range(max(0, math.ceil(top - 0.5)), min(grid.rows, math.floor(bottom - 0.5) + 1))
    cols = range(max(0, math.ceil(left - 0.5)), min(grid.cols, math.floor(right - 0.5) + 1))
    return GridPart(grid, rows, cols) if len(rows) and len(cols) else None


def _thinned(part: GridPart, step: int) -> GridPart:
    return GridPart(part.grid, part.rows[::step], part.cols[::step])


def _placed(
    grid: VectorGrid, row: NDArray[np.int64], col: NDArray[np.int64], has_gsd: bool
) -> dict[str, Any]:
    """Return CRS, centres, outlines and GSD of pixels; empty without a place."""
    crs, transform = grid.crs, grid.transform
    if crs is None or transform is None or not ground.usable_crs(crs):
        return {}
    x, y = col.astype(np.float64), row.astype(np.float64)
    lon, lat = wrapped(*ground.to_lonlat(crs, transform, x + 0.5, y + 0.5))
    corners = [ground.to_lonlat(crs, transform, x + right, y + down) for right, down in _CORNERS]
    across = np.stack([lon + (each[0] - lon + 180) % 360 - 180 for each in corners], axis=1)
    up = np.stack([each[1] for each in corners], axis=1)
    columns: dict[str, Any] = {
        "crs": [crs] * len(row),
        "centre_lon": lon,
        "centre_lat": lat,
        **_outlines(across, up),
    }
    if not has_gsd:
        size = ground.ground_gsd(crs, transform, float(np.median(col)) + 0.5, float(np.median(row)) + 0.5)
        if np.isfinite(size).all():
            columns["gsd_m"] = np.full(len(row), math.sqrt(size[0] * size[1]))
    return columns


_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))


def _outlines(lon: Floats, lat: Floats) -> dict[str, Any]:
    """Return geometry and bbox of quadrilaterals (n, 4); those that leave -180..180 are split there."""
    known: Any = np.isfinite(lon).all(axis=1) & np.isfinite(lat).all(axis=1)
    outside = known & (np.abs(lon).max(axis=1, initial=0) > 180)
    if outside.any() or not known.all():
        return geometry_columns(
            [outline_of_ring(*pair) if ok else None for *pair, ok in zip(lon, lat, known, strict=True)]
        )
    ring = np.stack([np.concatenate([each, each[:, :1]], axis=1) for each in (lon, lat)], axis=2)
    shapes: Any = shapely.orient_polygons(shapely.polygons(ring))
    bounds = shapely.bounds(shapes)
    box = pa.StructArray.from_arrays([pa.array(side) for side in bounds.T], fields=list(BBOX))
    return {"geometry": pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary()), "bbox": box}


def wrapped(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Move longitudes into -180..180; NaN outside the domain of the CRS."""
    known = np.isfinite(lon) & np.isfinite(lat)
    far = known & (np.abs(lon) > 180)
    moved = np.where(far, np.mod(np.where(known, lon, 0) + 180, 360) - 180, lon)
    return np.where(known, moved, np.nan), np.where(known, lat, np.nan)


def _ordinal(number: int) -> str:
    words = {2: "second", 3: "third"}
    return words.get(
        number, f"{number}th" if number % 10 not in (1, 2, 3) or number in (11, 12, 13) else f"{number}-th"
    )
