"""Open embeddings of any product from the user's own files, or an area of a raster at full resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.globe.globe_state import GlobePageView, set_globe_view
from ui.globe.tables import MapData
from ui.shell import cached, jobs, opened_tables, state, uploads
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence
from ui.shell.state import how_to_return

TABLE_MB = 200
TYPES = ["parquet", "geoparquet", "gpq", "pq", "tif", "tiff", "npy", "npz", "zip"]
PRODUCTS = (
    "Major TOM, Clay, Earth Index, EarthEmbeddingExplorer, Planet, and any Parquet file with vectors; "
    "AlphaEarth, TESSERA, Copernicus-Embed and our patch rasters as GeoTIFF; TESSERA tiles as NPY with their "
    "scales; Zarr stores with `geoemb:` attributes as ZIP; NPZ with `embeddings`, `lon` and `lat`."
)


def popover() -> None:
    """Offer to open files, and to close what was opened."""
    with st.popover("Open a file", icon=":material/folder_open:", key="open a table"), in_a_sentence():
        files = st.file_uploader(
            f"Embeddings up to {TABLE_MB} MB",
            type=TYPES,
            accept_multiple_files=True,
            max_upload_size=TABLE_MB,
            key="open files",
        )
        st.caption(PRODUCTS)
        opened = opened_tables.opened_by(state.owner())
        if files:
            with st.spinner("Reading the file", show_time=True):
                found = cached.result_cache("opened tables", 64).get_or_compute(
                    (state.owner(), *(file.file_id for file in files)),
                    lambda: opened_tables.open_files(
                        _owner(), [(file.name, uploads.content(file, TABLE_MB)) for file in files]
                    ),
                )
            if state.recall("globe opened", None) != found.folder:
                state.keep("globe opened", found.folder)
                _show(found.title)
        elif opened:
            st.caption(f"Files are deleted after two weeks. {how_to_return()}")
        for table in opened:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(table.title))
                if st.button(
                    "", icon=":material/delete:", key=f"close {table.folder.name}", help="Delete it"
                ):
                    opened_tables.remove(table)
                    cached.forget("opened tables")
                    st.rerun()


def area_button(name: str, path: Path, data: MapData, selected: NDArray[np.int64]) -> None:
    """Offer every pixel of the selection if the raster shown is thinned."""
    if not any(note.startswith("Only every") for note in data.table.notes) or not len(selected):
        return
    lonlat = data.lonlat[selected]
    if not np.isfinite(lonlat).all() or np.ptp(lonlat[:, 0]) > 180:
        return
    if st.button("Load every pixel of the selection", icon=":material/zoom_in:", key="load an area"):
        (west, south), (east, north) = lonlat.min(axis=0).tolist(), lonlat.max(axis=0).tolist()
        with st.spinner("Reading the area", show_time=True), in_a_sentence():
            product = opened_tables.product_of(path)
            opened = opened_tables.window_of(_owner(), product, name, (west, south, east, north))
            _show(opened.title)


def _show(title: str) -> None:
    set_globe_view(GlobePageView(table=title))
    st.rerun()


def _owner() -> str:
    """Return this user's key; create it on first use."""
    if not jobs.is_owner(state.owner()):
        state.set_owner(jobs.new_owner())
    return state.owner()
