"""Layouts of Parquet files of embeddings: which columns hold the vectors, the place and the identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

UNKNOWN_CRS = "unknown"
"""Coordinates that are not degrees then have no place."""

LONLAT_NAMES = (
    ("centre_lon", "centre_lat"),
    ("center_lon", "center_lat"),
    ("centroid_lon", "centroid_lat"),
    ("longitude", "latitude"),
    ("lon", "lat"),
    ("lng", "lat"),
)


@dataclass(frozen=True)
class Layout:
    """A layout by name, and its columns.

    `vectors`: one list column, or many numeric columns in order. The place: `geometry` (WKB column), or
    `bbox` (a struct of sides), or `lonlat` (two columns). `renamed` maps our column names to the file's.
    `constants` hold for every row. `crs` is that of `geometry`, None for degrees. `notes` are sentences for
    the user, without the name of the file.
    """

    name: str
    vectors: tuple[str, ...]
    geometry: str | None = None
    bbox: str | None = None
    lonlat: tuple[str, str] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])
    crs: str | None = None
    notes: tuple[str, ...] = ()


def metadata_json(schema: pa.Schema, key: bytes) -> dict[str, Any]:
    """Return a JSON object in a file's metadata; empty if there is none or it is invalid."""
    try:
        value = json.loads((schema.metadata or {}).get(key, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_vector(kind: pa.DataType) -> bool:
    """Tell whether a column holds one vector per row (list, fixed-size list or fixed-shape tensor)."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    lists = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    return lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def place_columns(schema: pa.Schema) -> dict[str, Any]:
    """Find the place: the GeoParquet column, `geometry`, a `bbox` struct, or two columns of degrees."""
    names = set(schema.names)
    primary = metadata_json(schema, b"geo").get("primary_column", "geometry")
    for name in (str(primary), "geometry", "geom", "wkb_geometry"):
        if name in names and (
            pa.types.is_binary(schema.field(name).type) or pa.types.is_large_binary(schema.field(name).type)
        ):
            return {"geometry": name, **_stated_crs(schema, name)}
    if "bbox" in names and pa.types.is_struct(schema.field("bbox").type):
        return {"bbox": "bbox"}
    folded = {name.lower(): name for name in schema.names}
    for lon, lat in LONLAT_NAMES:
        if lon in folded and lat in folded:
            return {"lonlat": (folded[lon], folded[lat])}
    return {}


def _stated_crs(schema: pa.Schema, column: str) -> dict[str, Any]:
    """Return `crs` and `notes` of a GeoParquet column that is not stated to hold WGS84 degrees.

    GeoParquet 1.1: a missing CRS means OGC:CRS84, and null that it is not known.
    """
    columns = metadata_json(schema, b"geo").get("columns")
    about = columns.get(column) if isinstance(columns, dict) else None
    if not isinstance(about, dict) or "crs" not in about:
        return {}
    crs, box = about["crs"], about.get("bbox")
    if crs is None:
        note = "the CRS of its geometry is not stated, so its coordinates are read as degrees if they can be."
        return {"crs": UNKNOWN_CRS, "notes": (note,)}
    identity = crs.get("id") if isinstance(crs, dict) else None
    if isinstance(identity, dict) and str(identity.get("code")) in ("CRS84", "4326"):
        return {}
    if isinstance(crs, dict) and crs.get("type") == "ProjectedCRS" and _are_degrees(box):
        stated = str(crs.get("name", ""))[:60]
        note = f"it states the CRS {stated}, but its coordinates are degrees and read as such."
        return {"notes": (note,)}
    return {"crs": json.dumps(crs)}


def _are_degrees(box: Any) -> bool:
    is_box = isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box)
    return is_box and -180 <= box[0] <= box[2] <= 180 and -90 <= box[1] <= box[3] <= 90


def renames(schema: pa.Schema, candidates: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Map our column names to the first of each one's candidates that the file has."""
    return {
        ours: column
        for ours, names in candidates.items()
        if (column := next((n for n in names if n in schema.names), None))
    }
