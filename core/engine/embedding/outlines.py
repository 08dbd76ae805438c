"""Where the windows of an embedding run lie in degrees: a walk around every one, finer where the walk passes near a pole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ...atlas.store.outline import outline_of_ring
from ...geo import ground
from .grids import Grid

EDGE_POINTS = 4
"""Points along each edge of an outline: enough for a tile that bends in degrees, few enough to stay small."""

TURN_DEG, FINE_DEG = 10.0, 3.0
"""A walk whose longitude turns further than the first from one point to the next is walked again in turns of at most the second: there, a straight
edge is no straight line in degrees."""

POLE_DEG = 2e-6
"""As near to a pole as this, some 20 cm, a point is the pole, and its longitude means nothing."""

ROUNDS = 40

Floats = NDArray[np.float64]
Walk = Callable[[int, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Rings:
    """Outlines (n, p) in degrees, centres (n, 2), and the walk around the n-th: longitudes and latitudes at 0..4, a whole number at each corner."""

    lon: Floats
    lat: Floats
    centre: Floats
    walk: Walk

    def outlines(self) -> list[shapely.Geometry | None]:
        """Make polygons: all plain ones at once, those near the antimeridian or a pole one by one."""
        with np.errstate(invalid="ignore"):
            plain = (
                np.isfinite(self.lon).all(axis=1)
                & (np.abs(np.diff(self.lon, axis=1, append=self.lon[:, :1])).max(axis=1) < TURN_DEG)
                & (np.abs(self.lon).max(axis=1) <= 180)
                & (np.abs(self.lat).max(axis=1) < 90 - POLE_DEG)
            )
        found: list[shapely.Geometry | None] = [None] * len(self.lon)
        polygons: Any = shapely.orient_polygons(
            shapely.polygons(np.stack([self.lon[plain], self.lat[plain]], axis=2))
        )
        for at, polygon in zip(np.flatnonzero(plain), polygons, strict=True):
            found[at] = polygon
        for at in np.flatnonzero(~plain).tolist():
            lon, lat = self.lon[at], self.lat[at]
            found[at] = outline_of_ring(
                *(_over_pole(*self._finer(at)) if _near_pole(lon, lat) else (lon, lat))
            )
        return found

    def _finer(self, at: int) -> tuple[Floats, Floats]:
        """Walk around one window again, with points put between those whose longitudes lie far apart."""
        t = np.arange(4 * EDGE_POINTS) / EDGE_POINTS
        lon, lat = self.lon[at], self.lat[at]
        for _ in range(ROUNDS):
            far = np.flatnonzero(_far(lon, lat))
            if not len(far) or not np.isfinite(lon + lat).all():
                break
            between = (t[far] + np.append(t, 4.0)[far + 1]) / 2
            more_lon, more_lat = self.walk(at, between)
            t, lon, lat = (
                np.insert(old, far + 1, more)
                for old, more in ((t, between), (lon, more_lon), (lat, more_lat))
            )
        return lon, lat


def rings_of(grid: Grid, rows: NDArray[np.int64], tile_px: int) -> Rings | None:
    """Walk around windows of a grid; None where the place is unknown."""
    t = np.arange(4 * EDGE_POINTS) / EDGE_POINTS
    x, y = (np.append(side, [0.5]) for side in around_square(t))
    if grid.lonlat is not None:
        return _globe_rings(grid.lonlat[rows], x, y, tile_px * (grid.gsd_m or 0))
    crs, transform = grid.header.crs, grid.header.transform
    if crs is None or transform is None:
        return None
    boxes = grid.boxes[rows]

    def place(left: Floats, top: Floats, wide: Floats, high: Floats) -> tuple[Floats, Floats]:
        lon, lat = ground.to_lonlat(crs, transform, left + wide, top + high)
        return np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon), lat

    def walk(at: int, between: Floats) -> tuple[Floats, Floats]:
        across, down = around_square(between)
        left, top, width, height = boxes[at]
        return place(left, top, width * across, height * down)

    lon, lat = place(boxes[:, :1], boxes[:, 1:2], boxes[:, 2:3] * x, boxes[:, 3:] * y)
    return Rings(lon[:, :-1], lat[:, :-1], np.stack([lon[:, -1], lat[:, -1]], axis=1), walk)


def _globe_rings(lonlat: Floats, x: Floats, y: Floats, side_m: float) -> Rings:
    """Walk around squares of ground, each in its own equal-area frame; frames of one latitude differ by a turn only."""

    def place(lat: float, across: Floats, down: Floats) -> tuple[Floats, Floats]:
        crs = f"+proj=laea +lat_0={lat!r} +lon_0=0 +datum=WGS84 +units=m +no_defs"
        return ground.to_lonlat(crs, (side_m, 0.0, -side_m / 2, 0.0, -side_m, side_m / 2), across, down)

    def turned(lon: Floats, by: Floats) -> Floats:
        return (lon + by + 180) % 360 - 180

    def walk(at: int, between: Floats) -> tuple[Floats, Floats]:
        lon, lat = place(float(lonlat[at, 1]), *around_square(between))
        return turned(lon, lonlat[at, 0]), lat

    walks = np.empty((len(lonlat), len(x), 2))
    for lat in np.unique(lonlat[:, 1]).tolist():
        lon, lats = place(lat, x, y)
        here = lonlat[:, 1] == lat
        walks[here, :, 0] = turned(lon, lonlat[here, :1])
        walks[here, :, 1] = lats
    return Rings(walks[:, :-1, 0], walks[:, :-1, 1], lonlat, walk)


def around_square(t: Floats) -> tuple[Floats, Floats]:
    """Give (across, down), each 0..1, of a walk around a square from its upper left corner: 0..4, each corner a whole number."""
    return np.clip(np.minimum(t, 3 - t), 0, 1), np.clip(np.minimum(t - 1, 4 - t), 0, 1)


def _near_pole(lon: Floats, lat: Floats) -> bool:
    """Tell whether a ring turns so far, or touches a pole, that its points do not say enough."""
    return bool((_steps(lon) > TURN_DEG).any() or (np.abs(lat) > 90 - POLE_DEG).any())


def _steps(lon: Floats) -> Floats:
    """Give how far the longitude turns after each point of a ring, degrees up to 180."""
    return np.abs((np.diff(lon, append=lon[:1]) + 180) % 360 - 180)


def _far(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Tell after which points of a ring the longitude turns too far, or turns while the pole comes much nearer; at a pole it has none that could."""
    step, from_pole = _steps(lon), 90 - np.abs(lat)
    pole = from_pole < POLE_DEG
    after = np.roll(from_pole, -1)
    nears = (np.maximum(from_pole, after) > 1.5 * np.minimum(from_pole, after)) & (step > FINE_DEG / 30)
    return ((step > FINE_DEG) | nears) & ~pole & ~np.roll(pole, -1)


def _over_pole(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Where a ring touches a pole, let it go up to it along the longitude of the point before and down along that of the point after.

    Between these it turns at the pole by what the others lack of a closed ring, in steps that are not half a turn.
    """
    pole = np.abs(lat) > 90 - POLE_DEG
    if not pole.any() or pole.all() or np.ptp(lat[pole]) > 1:  # none, or from one pole to the other
        return lon, lat
    first = int(np.flatnonzero(pole & ~np.roll(pole, 1))[0])
    lon, lat, pole = (np.roll(one, -first) for one in (lon, lat, pole))
    kept_lon, kept_lat = lon[~pole], lat[~pole]
    turn = ((np.diff(kept_lon) + 180) % 360 - 180).sum()
    top = np.linspace(kept_lon[-1], kept_lon[-1] - turn, 4)
    return np.concatenate([kept_lon, top]), np.concatenate([kept_lat, np.full(4, np.copysign(90.0, lat[0]))])
