"""Where the rows of a file are: outlines, covering and centres in degrees, from whatever columns say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import shapely
from numpy.typing import NDArray

from ..errors import TableError
from ..formats import Layout
from ..schema import BBOX

pc: Any = pyarrow.compute

SIDES = (
    ("xmin", "minx", "west"),
    ("ymin", "miny", "south"),
    ("xmax", "maxx", "east"),
    ("ymax", "maxy", "north"),
)


def place_of(layout: Layout, raw: pa.Table) -> dict[str, Any]:
    """Return geometry, covering and centre from the place columns of a file."""
    if layout.geometry:
        shapes = shapely.from_wkb(raw[layout.geometry].to_numpy(), on_invalid="ignore")
        shapes = np.where(shapely.is_empty(shapes), None, shapes)
        geometry = raw[layout.geometry].cast(pa.binary())
        if layout.crs is not None and not _in_degrees(shapes):
            shapes = _to_degrees(shapes, layout.crs)
            geometry = pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())
    elif layout.bbox:
        sides = [_side(raw[layout.bbox], *names) for names in SIDES]
        shapes: Any = np.array([shapely.box(*side) for side in zip(*sides, strict=True)])
        geometry = pa.array(shapely.to_wkb(shapes), pa.binary())
    elif layout.lonlat:
        lon, lat = (pc.cast(raw[name], pa.float64(), safe=False).to_numpy() for name in layout.lonlat)
        known = np.isfinite(lon) & np.isfinite(lat)
        points: Any = shapely.points(np.where(known, lon, 0), np.where(known, lat, 0))
        shapes = np.where(known, points, None)
        geometry = pa.array(shapely.to_wkb(shapes), pa.binary())
    else:
        return {}
    bounds = shapely.bounds(shapes)
    box = pa.StructArray.from_arrays([pa.array(b, from_pandas=True) for b in bounds.T], fields=list(BBOX))
    centre = bounds[:, :2] / 2 + bounds[:, 2:] / 2
    lon, lat = (pa.array(degrees, from_pandas=True) for degrees in centre.T)
    return {"geometry": geometry, "bbox": box, "centre_lon": lon, "centre_lat": lat}


def _side(boxes: pa.ChunkedArray, *names: str) -> NDArray[np.float64]:
    fields = {f.name: f.name for f in boxes.type}
    name = next((fields[n] for n in names if n in fields), None)
    if name is None:
        raise TableError(
            f"The bbox column has the sides {', '.join(fields)}: xmin, ymin, xmax and ymax are needed."
        )
    return pc.cast(pc.struct_field(boxes, name), pa.float64()).to_numpy()


def _in_degrees(shapes: NDArray[Any]) -> bool:
    """Tell whether all coordinates could be degrees; some publishers state a CRS that theirs are not in."""
    west, south, east, north = shapely.total_bounds(shapes)
    return bool(np.isnan(west) or (west >= -360 and east <= 360 and south >= -90 and north <= 90))


def _to_degrees(shapes: NDArray[Any], crs: str) -> NDArray[Any]:
    """Transform shapes to WGS84; None where that fails, and for all of them if the CRS is not known."""
    import pyproj
    from pyproj.exceptions import ProjError

    try:
        transform = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    except ProjError:
        return np.full(len(shapes), None)
    moved: Any = shapely.transform(shapes, lambda xy: np.stack(transform(*xy.T), axis=1))
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = None
    return moved
