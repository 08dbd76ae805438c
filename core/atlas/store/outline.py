"""Outlines of tiles on the globe, correct across the antimeridian and over the poles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from ...geo import Footprint
from ..schema import BBOX

_WORLD = shapely.box(-180, -90, 180, 90)


def outline_of_ring(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> shapely.Geometry | None:
    """Make the outline of a ring of degrees (closed or not), split at the antimeridian, capped over a pole.

    Consecutive points must be less than half the globe apart, so edges that pass near a pole need a few
    points in between. Returns None if a point is not finite.
    """
    if len(lon) < 3 or not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    lon, lat = np.round(lon, 9), np.round(lat, 9)
    if lon[0] != lon[-1] or lat[0] != lat[-1]:
        lon, lat = np.append(lon, lon[0]), np.append(lat, lat[0])
    step = (np.diff(lon) + 180) % 360 - 180
    unrolled = np.concatenate([[lon[0]], lon[0] + np.cumsum(step)])
    ring = list(zip(unrolled, lat, strict=True))
    if abs(unrolled[-1] - unrolled[0]) > 180:  # the ring goes once around: a pole lies inside
        pole = 90.0 if lat.mean() > 0 else -90.0
        ring += [(unrolled[-1], pole), (unrolled[0], pole)]
    return _wrapped(shapely.make_valid(shapely.Polygon(ring)))


def outline_of_footprint(footprint: Footprint) -> shapely.Geometry | None:
    """Make the outline of a box in degrees; two parts if `east < west`."""
    east = footprint.east + (360 if footprint.east < footprint.west else 0)
    return _wrapped(shapely.box(footprint.west, footprint.south, east, footprint.north))


def _wrapped(shape: Any) -> shapely.Geometry | None:
    """Move a shape with longitudes beyond -180..180 back into that range, in several parts if necessary."""
    west, _, east, _ = shape.bounds
    turns = range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1)
    moved = [shapely.transform(shape, lambda xy, t=turn: xy - [360.0 * t, 0]) for turn in turns]
    parts = [part for part in (shapely.intersection(m, _WORLD) for m in moved) if part.area > 0]
    joined = shapely.union_all(parts, grid_size=1e-9)  # around a pole, parts of two turns share an edge
    polygons = [p for p in shapely.get_parts(joined) if p.geom_type == "Polygon"]
    if not polygons:
        return None
    polygons = [shapely.orient_polygons(p) for p in polygons]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def geometry_columns(outlines: Sequence[Any]) -> dict[str, pa.Array]:
    """Return the columns `geometry` (WKB) and `bbox` of outlines; None becomes null in both."""
    geometry = pa.array(
        [None if o is None else shapely.to_wkb(o, byte_order=1) for o in outlines], pa.binary()
    )
    boxes = [
        None if o is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), o.bounds, strict=True))
        for o in outlines
    ]
    return {"geometry": geometry, "bbox": pa.array(boxes, BBOX)}
