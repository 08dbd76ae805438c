"""Sub-tiles: the ground of a tile divided into n x n squares."""

from __future__ import annotations

from dataclasses import replace
from math import atan2, degrees, hypot

from .tile import GeoError, TileSpec


def parts_of(spec: TileSpec, n: int) -> tuple[TileSpec, ...]:
    """Divide a tile into n x n parts, row by row from the north-west, each as many pixels as the tile, n
    times finer.

    The spec needs a window, or a position with gsd_m and size_px. Raises GeoError if it has neither, or if
    parts would be smaller than a pixel.
    """
    if spec.window is not None:
        left, top, width, height = spec.window
        w, h = width // n, height // n
        if not w or not h:
            raise GeoError(
                f"A window of {width} x {height} pixels cannot be cut into {n} x {n} parts: choose fewer."
            )
        return tuple(
            replace(spec, window=(left + x * w, top + y * h, w, h)) for y in range(n) for x in range(n)
        )
    if spec.lonlat is None or not spec.gsd_m or not spec.size_px:
        raise GeoError("This tile has no known extent, so it cannot be divided: choose another place.")
    from pyproj import Geod

    side_m, earth = spec.gsd_m * spec.size_px, Geod(ellps="WGS84")
    parts: list[TileSpec] = []
    for y in range(n):
        for x in range(n):
            east, north = ((x + 0.5) / n - 0.5) * side_m, (0.5 - (y + 0.5) / n) * side_m
            lon, lat, _ = earth.fwd(*spec.lonlat, degrees(atan2(east, north)), hypot(east, north))
            parts.append(replace(spec, lonlat=(float(lon), float(lat)), gsd_m=spec.gsd_m / n))
    return tuple(parts)
