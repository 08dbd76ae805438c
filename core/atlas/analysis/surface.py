"""Which row of a table covers each pixel of a map of the Earth, so that colours fill it without gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ...geo import ground
from ...geo.land import land_mask
from ..store.table import EmbeddingTable

WIDTH, HEIGHT = 2048, 1024
NOWHERE = -1
MIN_COVERED = 0.05
"""Tables that cover a smaller share of the Earth get no surface: their points say more."""
MAX_SCALES = 8
HALF_DIAGONAL = 0.5**0.5


def tile_sides(table: EmbeddingTable, rows: slice = slice(None)) -> NDArray[np.float64]:
    """Return the side of the tile of each row (n,), or of some, in metres; 0 where unknown."""
    columns = table.columns
    gsd_m, size_px = (columns[name].to_numpy()[rows].astype(np.float64) for name in ("gsd_m", "image_size"))
    return np.nan_to_num(gsd_m * size_px, nan=0.0)


def surface_rows(table: EmbeddingTable, *, land_only: bool = False) -> NDArray[np.int32] | None:
    """Return the row shown at each pixel of a plate-carree map (1024, 2048), north up; -1 shows none.

    A pixel shows the nearest row whose tile reaches it; where tiles of several sizes overlap, one of the
    smallest. `land_only` leaves out the sea. Returns None if the tiles cover less than 5 % of the Earth, or
    have no size or location.
    """
    lonlat, side_m = table.lonlat.astype(np.float64), tile_sides(table)
    usable = table.stored.usable & np.isfinite(lonlat).all(axis=1) & (side_m > 0)
    if not usable.any():
        return None
    if float((side_m[usable] ** 2).sum()) < MIN_COVERED * 4 * np.pi * ground.MEAN_EARTH_RADIUS_M**2:
        return None
    # distances at half the resolution of the coasts: tiles are far larger than a pixel
    latitudes = 90 - (np.arange(HEIGHT // 2) + 0.5) * 360 / HEIGHT
    longitudes = (np.arange(WIDTH // 2) + 0.5) * 720 / WIDTH - 180
    pixels = _on_sphere(np.stack(np.meshgrid(longitudes, latitudes), axis=-1).reshape(-1, 2))
    area = np.repeat(np.cos(np.radians(latitudes)), WIDTH // 2)
    land = _land()
    some_land = land.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).any(axis=(1, 3)).ravel()
    remaining = np.flatnonzero(some_land) if land_only else np.arange(len(pixels))
    rows = np.full(len(pixels), NOWHERE, np.int32)
    for level in _by_size(side_m, usable):
        reach = 2 * np.sin(min(HALF_DIAGONAL * side_m[level].max() / ground.MEAN_EARTH_RADIUS_M, np.pi) / 2)
        nearest = np.asarray(
            KDTree(_on_sphere(lonlat[level])).query(pixels[remaining], distance_upper_bound=reach, workers=2)[
                1
            ]
        )
        found = nearest < len(level)
        rows[remaining[found]] = level[nearest[found]]
        remaining = remaining[~found]
    if area[rows != NOWHERE].sum() < MIN_COVERED * area.sum():
        return None
    whole = rows.reshape(HEIGHT // 2, WIDTH // 2).repeat(2, axis=0).repeat(2, axis=1)
    return np.where(land, whole, NOWHERE) if land_only else whole


def _land() -> NDArray[np.bool_]:
    """Return whether the centre of each pixel is land (1024, 2048)."""
    mask = land_mask()
    rows = ((np.arange(HEIGHT) + 0.5) * mask.shape[0] / HEIGHT).astype(int)
    cols = ((np.arange(WIDTH) + 0.5) * mask.shape[1] / WIDTH).astype(int)
    return mask[np.ix_(rows, cols)]


def _by_size(side_m: NDArray[np.float64], usable: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the usable rows by the size of their tiles, smallest first; all together if sizes vary much."""
    size = np.zeros(len(side_m))
    size[usable] = np.round(np.log2(side_m[usable]) * 8)  # sizes within 9 % count as one
    sizes = np.unique(size[usable])
    if len(sizes) > MAX_SCALES:
        return [np.flatnonzero(usable)]
    return [np.flatnonzero(usable & (size == one)) for one in sizes]


def _on_sphere(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
