"""Outlines of windows in degrees, with more points where an edge passes near a pole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ...atlas.store.outline import outline_of_ring
from ...geo import ground
from ...geo.tile import Affine6
from .grids import Grid

EDGE_POINTS = 4
"""Points along each edge of an outline: enough for edges that bend in degrees, few enough to stay small."""

TURN_DEG, FINE_DEG = 10.0, 3.0
"""Points are added if the longitude turns by more than the first, until it turns by less than the second."""

POLE_DEG = 2e-6
"""A point this near to a pole (20 cm) is the pole, and its longitude is meaningless."""

ROUNDS = 40

Floats = NDArray[np.float64]
Positions = Callable[[int, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Rings:
    """Outlines (n, p) in degrees with their centres (n, 2).

    `locate(i, positions)` gives longitudes and latitudes of further positions (`ground.square_outline`) along
    the outline of window i.
    """

    lon: Floats
    lat: Floats
    centre: Floats
    locate: Positions

    def outlines(self) -> list[shapely.Geometry | None]:
        """Make polygons: plain ones at once, those near the antimeridian or a pole one by one."""
        with np.errstate(invalid="ignore"):
            plain = (
                np.isfinite(self.lon).all(axis=1)
                & (np.abs(np.diff(self.lon, axis=1, append=self.lon[:, :1])).max(axis=1) < TURN_DEG)
                & (np.abs(self.lon).max(axis=1) <= 180)
                & (np.abs(self.lat).max(axis=1) < 90 - POLE_DEG)
            )
        outlines: list[shapely.Geometry | None] = [None] * len(self.lon)
        polygons: Any = shapely.orient_polygons(
            shapely.polygons(np.stack([self.lon[plain], self.lat[plain]], axis=2))
        )
        for i, polygon in zip(np.flatnonzero(plain), polygons, strict=True):
            outlines[i] = polygon
        for i in np.flatnonzero(~plain).tolist():
            lon, lat = self.lon[i], self.lat[i]
            if _is_near_pole(lon, lat):
                lon, lat = _over_pole(*self._refine(i))
            outlines[i] = outline_of_ring(lon, lat)
        return outlines

    def _refine(self, i: int) -> tuple[Floats, Floats]:
        """Add points to one outline between those whose longitudes lie far apart."""
        positions = ground.outline_positions(EDGE_POINTS)
        lon, lat = self.lon[i], self.lat[i]
        for _ in range(ROUNDS):
            far = np.flatnonzero(_too_far(lon, lat))
            if not len(far) or not np.isfinite(lon + lat).all():
                break
            between = (positions[far] + np.append(positions, 4.0)[far + 1]) / 2
            more_lon, more_lat = self.locate(i, between)
            positions, lon, lat = (
                np.insert(old, far + 1, more)
                for old, more in ((positions, between), (lon, more_lon), (lat, more_lat))
            )
        return lon, lat


def rings_of_grid(grid: Grid, rows: NDArray[np.int64], tile_px: int) -> Rings | None:
    """Return the outlines of windows of a grid; None if their place is unknown."""
    if grid.lonlat is not None:
        return _globe_rings(grid.lonlat[rows], tile_px * (grid.gsd_m or 0))
    if grid.header.crs is None or grid.header.transform is None:
        return None
    return rings_of_boxes(grid.header.crs, grid.header.transform, grid.boxes[rows])


def rings_of_boxes(crs: str, transform: Affine6, boxes: Floats) -> Rings:
    """Return the outlines of boxes (n, 4) of a raster: column, row, width and height in pixels."""

    def place(left: Floats, top: Floats, across: Floats, down: Floats) -> tuple[Floats, Floats]:
        lon, lat = ground.to_lonlat(crs, transform, left + across, top + down)
        return np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon), lat

    def locate(i: int, positions: Floats) -> tuple[Floats, Floats]:
        across, down = ground.square_outline(positions)
        left, top, width, height = boxes[i]
        return place(left, top, width * across, height * down)

    x, y = _outline_and_centre()
    lon, lat = place(boxes[:, :1], boxes[:, 1:2], boxes[:, 2:3] * x, boxes[:, 3:] * y)
    return Rings(lon[:, :-1], lat[:, :-1], np.stack([lon[:, -1], lat[:, -1]], axis=1), locate)


def _outline_and_centre() -> tuple[Floats, Floats]:
    """Return (across, down) of the points of an outline and then of the centre of a unit square."""
    across, down = ground.square_outline(ground.outline_positions(EDGE_POINTS))
    return np.append(across, 0.5), np.append(down, 0.5)


def _globe_rings(lonlat: Floats, side_m: float) -> Rings:
    """Return the outlines of squares of ground, each in its own equal-area projection.

    Projections of one latitude differ in longitude only.
    """

    def place(lat: float, across: Floats, down: Floats) -> tuple[Floats, Floats]:
        crs = f"+proj=laea +lat_0={lat!r} +lon_0=0 +datum=WGS84 +units=m +no_defs"
        return ground.to_lonlat(crs, (side_m, 0.0, -side_m / 2, 0.0, -side_m, side_m / 2), across, down)

    def rotate(lon: Floats, by: Floats) -> Floats:
        return (lon + by + 180) % 360 - 180

    def locate(i: int, positions: Floats) -> tuple[Floats, Floats]:
        lon, lat = place(float(lonlat[i, 1]), *ground.square_outline(positions))
        return rotate(lon, lonlat[i, 0]), lat

    x, y = _outline_and_centre()
    points = np.empty((len(lonlat), len(x), 2))
    for lat in np.unique(lonlat[:, 1]).tolist():
        lon, lats = place(lat, x, y)
        here = lonlat[:, 1] == lat
        points[here, :, 0] = rotate(lon, lonlat[here, :1])
        points[here, :, 1] = lats
    return Rings(points[:, :-1, 0], points[:, :-1, 1], lonlat, locate)


def _is_near_pole(lon: Floats, lat: Floats) -> bool:
    """Tell whether a ring turns so far, or touches a pole, that it needs more points."""
    return bool((_turns(lon) > TURN_DEG).any() or (np.abs(lat) > 90 - POLE_DEG).any())


def _turns(lon: Floats) -> Floats:
    """Return how far the longitude turns after each point of a ring, in degrees up to 180."""
    return np.abs((np.diff(lon, append=lon[:1]) + 180) % 360 - 180)


def _too_far(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Tell after which points of a ring another is needed: if the longitude turns far or the pole comes near.

    Points at a pole have no longitude and never count.
    """
    turn, from_pole = _turns(lon), 90 - np.abs(lat)
    pole = from_pole < POLE_DEG
    after = np.roll(from_pole, -1)
    nearer = (np.maximum(from_pole, after) > 1.5 * np.minimum(from_pole, after)) & (turn > FINE_DEG / 30)
    return ((turn > FINE_DEG) | nearer) & ~pole & ~np.roll(pole, -1)


def _over_pole(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Lead a ring that touches a pole up the meridian of the point before and down that of the point after.

    In between it turns at the pole by the angle that the other points lack of a full turn, in steps below
    half a turn.
    """
    pole = np.abs(lat) > 90 - POLE_DEG
    if not pole.any() or pole.all() or np.ptp(lat[pole]) > 1:  # none, or from one pole to the other
        return lon, lat
    first = int(np.flatnonzero(pole & ~np.roll(pole, 1))[0])
    lon, lat, pole = (np.roll(values, -first) for values in (lon, lat, pole))
    other_lon, other_lat = lon[~pole], lat[~pole]
    turn = ((np.diff(other_lon) + 180) % 360 - 180).sum()
    at_pole = np.linspace(other_lon[-1], other_lon[-1] - turn, 4)
    return (
        np.concatenate([other_lon, at_pole]),
        np.concatenate([other_lat, np.full(4, np.copysign(90.0, lat[0]))]),
    )
