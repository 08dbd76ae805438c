"""Layouts of Parquet files of embeddings: which columns hold the vectors, the place and the identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Layout:
    """A layout by name, and its columns.

    `vectors`: one list column, or many numeric columns in order. The place: `geometry` (WKB column), or
    `bbox` (a struct of sides), or `lonlat` (two columns). `renamed` maps our column names to the file's.
    `constants` hold for every row.
    """

    name: str
    vectors: tuple[str, ...]
    geometry: str | None = None
    bbox: str | None = None
    lonlat: tuple[str, str] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
            return {"geometry": name}
    if "bbox" in names and pa.types.is_struct(schema.field("bbox").type):
        return {"bbox": "bbox"}
    folded = {name.lower(): name for name in schema.names}
    for lon, lat in (
        ("centre_lon", "centre_lat"),
        ("center_lon", "center_lat"),
        ("longitude", "latitude"),
        ("lon", "lat"),
        ("lng", "lat"),
    ):
        if lon in folded and lat in folded:
            return {"lonlat": (folded[lon], folded[lat])}
    return {}


def renames(schema: pa.Schema, candidates: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Map our column names to the first of each one's candidates that the file has."""
    return {
        ours: column
        for ours, names in candidates.items()
        if (column := next((n for n in names if n in schema.names), None))
    }
