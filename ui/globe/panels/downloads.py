"""Downloads of values for the rows shown, as GeoParquet, GeoJSON, PMTiles or COG, computed on request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core.atlas import EmbeddingTable
from core.atlas.exports import GEOJSON_ROWS, Columns, cog, geojson, geoparquet, pmtiles
from ui.globe.panel_api import PanelContext
from ui.shell.escaping import plain

FORMATS = {
    "GeoParquet": (
        geoparquet,
        "parquet",
        "application/vnd.apache.parquet",
        "every row with its outline; opens in GeoPandas, DuckDB and QGIS",
    ),
    "GeoJSON": (geojson, "geojson", "application/geo+json", "the same as text; opens in any GIS"),
    "PMTiles": (
        pmtiles,
        "pmtiles",
        "application/vnd.pmtiles",
        "vector tiles, coloured by similarity, for a web map with MapLibre or Leaflet",
    ),
    "COG": (cog, "tif", "image/tiff", "a raster; each pixel is the mean of the tiles that cover it"),
}


def downloads(
    context: PanelContext, name: str, columns: Columns, raster: Columns, about: Mapping[str, Any], *, key: str
) -> None:
    """Show one button per format; `columns` (n,) go into the tables, `raster` (numbers only) into the COG."""
    if not (abs(context.lonlat) <= 360).all(axis=1).any():
        st.caption("The rows of this table have no location, so there is no map to download.")
        return
    metadata = {"table": context.name, "vectors": " and ".join(context.table.models), **about}
    with st.container(horizontal=True, gap="small"):
        for title, (write, end, kind, what) in FORMATS.items():
            too_many = title == "GeoJSON" and len(context.table) > GEOJSON_ROWS
            content = partial(_content, write, context.table, raster if title == "COG" else columns, metadata)
            st.download_button(
                plain(title),
                content,
                f"{_file(name)}.{end}",
                kind,
                key=f"{key} {title}",
                icon=":material/download:",
                on_click="ignore",
                disabled=too_many,
                help=f"Up to {GEOJSON_ROWS:,} rows. Use GeoParquet."
                if too_many
                else plain(what[0].upper() + what[1:] + "."),
            )


def _content(write: Any, table: EmbeddingTable, columns: Columns, about: Mapping[str, Any]) -> bytes:
    return write(table, columns, about=about)


def _file(name: str) -> str:
    """Return a name that is valid on every file system."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "map"
