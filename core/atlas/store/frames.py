"""Tables of embeddings as the objects of other libraries: Arrow, GeoPandas and xarray."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from ..errors import TableError
from ..schema import BBOX, VECTOR, vector_column

if TYPE_CHECKING:
    from .table import EmbeddingTable

WGS84 = "EPSG:4326"


def outlines(table: EmbeddingTable) -> NDArray[Any]:
    """Return the outline of each row (n,) in degrees; a point where only the centre is known, else None."""
    lon, lat = table.lonlat.T
    shapes = np.asarray(shapely.from_wkb(table.columns["geometry"].to_numpy()), object)
    bare = ~shapely.is_geometry(shapes) & np.isfinite(lon) & np.isfinite(lat)
    shapes[bare] = shapely.points(lon[bare], lat[bare])
    return shapes


def arrow(table: EmbeddingTable) -> pa.Table:
    """Return columns and vectors as one Arrow table; see `EmbeddingTable.to_arrow`."""
    crs = json.dumps({"crs": WGS84, "crs_type": "authority_code"})
    geometry = pa.field(
        "geometry",
        pa.binary(),
        metadata={"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": crs},
    )
    at = table.columns.schema.get_field_index("geometry")
    columns = table.columns.set_column(at, geometry, pa.array(shapely.to_wkb(outlines(table)), pa.binary()))
    return columns.append_column(VECTOR, vector_column(table.vectors, ~table.stored.usable))


def geopandas(table: EmbeddingTable) -> Any:
    """Return a GeoDataFrame; see `EmbeddingTable.to_geopandas`."""
    import geopandas as gpd

    frame = table.columns.drop_columns(["geometry", "bbox"]).to_pandas()
    usable = table.stored.usable.tolist()
    frame[VECTOR] = [vector if known else None for vector, known in zip(table.vectors, usable, strict=True)]
    return gpd.GeoDataFrame(frame, geometry=outlines(table), crs=WGS84)


def xarray(table: EmbeddingTable) -> Any:
    """Return a Dataset; see `EmbeddingTable.to_xarray`."""
    try:
        xr = importlib.import_module("xarray")
    except ImportError:
        raise TableError("xarray is not installed: pip install xarray, or use to_geopandas().") from None
    vectors = np.where(table.stored.usable[:, None], table.vectors, np.float32(np.nan))
    coordinates: dict[str, Any] = {
        name: ("row", _plain(column))
        for name, column in zip(table.columns.column_names, table.columns.columns, strict=True)
        if column.type != BBOX and not pa.types.is_binary(column.type) and column.null_count < len(table)
        and not pa.types.is_fixed_size_list(column.type)
    }  # fmt: skip
    if table.columns["pixel_bbox"].null_count == 0:
        boxes = table.columns["pixel_bbox"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
        coordinates["pixel_bbox"] = (("row", "side"), boxes)
        coordinates["side"] = ("side", ["left", "top", "right", "bottom"])
    return xr.Dataset({VECTOR: (("row", "feature"), vectors)}, coordinates, {"name": table.name})


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as NumPy values that netCDF can store: times in UTC without a zone, text as str."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us")).to_numpy()
    if pa.types.is_string(column.type):
        return np.array([value or "" for value in column.to_pylist()])
    return column.to_numpy()
