"""Values of the rows on show to take away: GeoJSON, GeoParquet, COG; made when the button is pressed, not before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core.atlas import EmbeddingTable
from core.atlas.exports import GEOJSON_ROWS, Columns, cog, geojson, geoparquet
from ui.globe.desk import Desk
from ui.shell.escaping import plain

FORMATS = {
    "GeoParquet": (
        geoparquet,
        "parquet",
        "application/vnd.apache.parquet",
        "every row with its outline; opens in GeoPandas, DuckDB, QGIS",
    ),
    "GeoJSON": (geojson, "geojson", "application/geo+json", "the same as text; opens anywhere"),
    "COG": (cog, "tif", "image/tiff", "a raster of the mean over the tiles that cover a pixel"),
}


def downloads(
    desk: Desk, name: str, columns: Columns, raster: Columns, about: Mapping[str, Any], *, key: str
) -> None:
    """One button for each format; `columns` (n,) go into the tables, `raster` (numbers only) into the COG. Says why where there is no map."""
    if not (abs(desk.lonlat) <= 360).all(axis=1).any():
        st.caption("The rows of this table do not say where they are, so there is no map to save.")
        return
    said = {"table": desk.name, "vectors": " and ".join(desk.table.models), **about}
    with st.container(horizontal=True, gap="small"):
        for title, (write, end, kind, what) in FORMATS.items():
            many = title == "GeoJSON" and len(desk.table) > GEOJSON_ROWS
            made = partial(_made, write, desk.table, raster if title == "COG" else columns, said)
            st.download_button(
                plain(title), made, f"{_file(name)}.{end}", kind, key=f"{key} {title}", icon=":material/download:", on_click="ignore", disabled=many,
                help=f"Up to {GEOJSON_ROWS:,} rows: take GeoParquet." if many else plain(what[0].upper() + what[1:] + "."),
            )  # fmt: skip


def _made(write: Any, table: EmbeddingTable, columns: Columns, about: Mapping[str, Any]) -> bytes:
    return write(table, columns, about=about)


def _file(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "map"
