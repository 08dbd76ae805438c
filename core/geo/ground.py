"""Positions and sizes of pixels on the ground, from a CRS and an affine transform."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tile import Affine6, Footprint

Floats = NDArray[np.float64]

MEAN_EARTH_RADIUS_M = 6_371_000.0
"""The only radius of a spherical Earth here; the grid of Major TOM defines its own (`atlas.store.grid`)."""

EARTH_CIRCUMFERENCE_M = float(round(2 * math.pi * MEAN_EARTH_RADIUS_M, -4))
"""To 10 km: saved plans of embedding runs depend on exactly this number."""

METRES_PER_DEGREE = float(round(math.radians(MEAN_EARTH_RADIUS_M)))
"""Length of a degree of latitude, to 1 m: stored tables depend on exactly this number."""

TRUE_SCALE_TOLERANCE = 0.02
"""Scale error above which projected metres (e.g. of Web Mercator) are replaced by metres on the ellipsoid."""


def great_circle_km(lonlat: Floats, place: tuple[float, float]) -> Floats:
    """Distances in km of (n, 2) longitudes and latitudes in degrees to one place, on a sphere."""
    lon, lat = np.radians(lonlat).T
    lon0, lat0 = np.radians(place)
    cosine = np.sin(lat) * np.sin(lat0) + np.cos(lat) * np.cos(lat0) * np.cos(lon - lon0)
    return MEAN_EARTH_RADIUS_M / 1000 * np.arccos(np.clip(cosine, -1, 1))


@lru_cache(maxsize=64)
def _projection(crs: str) -> tuple[Any, Any, Any]:
    """Return (CRS, transformer to WGS84 longitude and latitude, ellipsoid) for a CRS in any text form."""
    import pyproj

    system = pyproj.CRS.from_user_input(crs)
    return (
        system,
        pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True),
        pyproj.Geod(ellps="WGS84"),
    )


def usable_crs(crs: str | None) -> bool:
    """Return whether a CRS (WKT, "EPSG:..." or None) is known to PROJ and projected or geographic."""
    if not crs:
        return False
    from pyproj.exceptions import ProjError

    try:
        system = _projection(crs)[0]
    except ProjError:
        return False
    return bool(system.is_projected or system.is_geographic)


def apply(transform: Affine6, cols: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return CRS coordinates (x, y) of pixel positions; (0, 0) is the outer corner of the first pixel."""
    a, b, c, d, e, f = transform
    return a * cols + b * rows + c, d * cols + e * rows + f


def to_lonlat(crs: str, transform: Affine6, cols: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return WGS84 (longitudes, latitudes) of pixel positions; infinite outside the domain of the CRS."""
    lons, lats = _projection(crs)[1].transform(*apply(transform, cols, rows))
    return np.asarray(lons, dtype=np.float64), np.clip(np.asarray(lats, dtype=np.float64), -90, 90)


def to_pixel(crs: str, transform: Affine6, lonlat: tuple[float, float]) -> tuple[float, float] | None:
    """Return the pixel position (column, row) of WGS84 degrees, or None outside the domain of the CRS."""
    import pyproj

    system = _projection(crs)[0]
    x, y = pyproj.Transformer.from_crs("EPSG:4326", system, always_xy=True).transform(*lonlat)
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    a, b, c, d, e, f = transform
    if (
        system.is_geographic and b == d == 0
    ):  # longitudes may run from 0 to 360 or beyond 180: use the convention of the raster
        x = c + math.copysign(((x - c) * math.copysign(1, a)) % 360, a)
    det = a * e - b * d
    return (e * (x - c) - b * (y - f)) / det, (a * (y - f) - d * (x - c)) / det


@lru_cache(maxsize=1024)
def ground_gsd(crs: str, transform: Affine6, col: float, row: float) -> tuple[float, float]:
    """Return the size of a pixel on the ground in metres (along a row, along a column).

    Projected CRS: from the transform and the unit, unless the scale of the projection is off by more than 2 %
    at that position (Web Mercator, polar grids far from their true latitude). Otherwise, and for every CRS in
    degrees: the geodesic length on the WGS84 ellipsoid. Rotated, sheared and south-up transforms are
    supported.
    """
    system, _, geod = _projection(crs)
    cols, rows = np.array([col - 0.5, col + 0.5, col, col]), np.array([row, row, row - 0.5, row + 0.5])
    lons, lats = to_lonlat(crs, transform, cols, rows)
    true = (
        geod.inv(lons[::2], lats[::2], lons[1::2], lats[1::2])[2] if np.isfinite(lons + lats).all() else None
    )
    if not system.is_projected:
        return (float(true[0]), float(true[1])) if true is not None else (math.nan, math.nan)
    metres = float(system.axis_info[0].unit_conversion_factor)
    a, b, _, d, e, _ = transform
    nominal = (math.hypot(a, d) * metres, math.hypot(b, e) * metres)
    if true is None or all(
        abs(t / n - 1) <= TRUE_SCALE_TOLERANCE for t, n in zip(true, nominal, strict=True)
    ):
        return nominal
    return float(true[0]), float(true[1])


def ring_footprint(lons: Floats, lats: Floats) -> Footprint | None:
    """Return the bounds of a closed ring in degrees, also across the antimeridian or around a pole.

    Returns None if the ring is not finite.
    """
    if not np.isfinite(lons + lats).all():
        return None
    steps = (np.diff(lons, append=lons[:1]) + 180) % 360 - 180
    south, north = float(lats.min()), float(lats.max())
    if abs(steps.sum()) > 180:  # the ring encloses a pole
        return (
            Footprint(-180.0, south, 180.0, 90.0)
            if lats.mean() > 0
            else Footprint(-180.0, -90.0, 180.0, north)
        )
    unwrapped = lons[0] + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    west, east = float(unwrapped.min()), float(unwrapped.max())
    if east - west >= 359.9:
        return Footprint(-180.0, south, 180.0, north)
    return Footprint(_wrap(west), south, _wrap(east), north)


def box_footprint(crs: str, transform: Affine6, box: tuple[float, float, float, float]) -> Footprint | None:
    """Return the bounds of `box` = (column, row, width, height) in WGS84 degrees, from 32 points per edge."""
    col, row, width, height = box
    across, down = square_outline(outline_positions(32))
    return ring_footprint(*to_lonlat(crs, transform, col + width * across, row + height * down))


def outline_positions(per_edge: int) -> Floats:
    """Return positions along the outline of a square, for `square_outline`: 4 x `per_edge` points."""
    return np.arange(4 * per_edge) / per_edge


def square_outline(positions: Floats) -> tuple[Floats, Floats]:
    """Return (across, down), each 0..1, of positions 0..4 along the outline of the unit square.

    Clockwise from the upper left corner; each whole number is a corner.
    """
    across = np.clip(np.minimum(positions, 3 - positions), 0, 1)
    down = np.clip(np.minimum(positions - 1, 4 - positions), 0, 1)
    return across, down


def is_global(crs: str | None, transform: Affine6 | None, width: int, height: int) -> bool:
    """Return whether a picture is the whole globe in plate carree, north up, within half a pixel per side."""
    if crs is None or transform is None or not _projection(crs)[0].is_geographic:
        return False
    a, b, c, d, e, f = transform
    return (
        b == d == 0
        and abs(a * width - 360) <= a
        and abs(e * height + 180) <= -e
        and abs(c + 180) <= a
        and abs(f - 90) <= -e
    )


def _wrap(lon: float) -> float:
    return lon if -180 <= lon <= 180 else (lon + 180) % 360 - 180


def on_sphere(lonlat: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert degrees (n, 2) to unit vectors (n, 3)."""
    lon, lat = np.radians(np.asarray(lonlat, np.float64)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
