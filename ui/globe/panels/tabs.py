"""The panels beside the maps, as tabs: one module each, and only the open one runs."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.globe import open_table
from ui.globe.globe_state import globe_view
from ui.globe.map.colour import EncodedLayer
from ui.globe.map.drawn import Drawn
from ui.globe.map.linked_maps import WITHOUT_ROUTES
from ui.globe.panel_api import PanelContext, take_rerun_request
from ui.globe.tables import MapData
from ui.shell import routes
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

PANELS = {
    "Place": "place",
    "Find": "find",
    "Label": "label",
    "Groups": "groups",
    "Compare": "compare",
    "Change": "change",
    "My imagery": "imagery",
    "Map": "region",
    "Anywhere": "anywhere",
}


def without_tables() -> None:
    """Say how to get a first table, and offer to embed imagery."""
    st.info(
        "There is no embedding table yet. `make atlas` embeds the whole Earth in a few "
        "minutes. `make app DATA=folder` opens your tables: from `python -m core embed`, "
        "Major TOM, Clay, Earth Index, AlphaEarth, TESSERA, or any GeoParquet file with vectors.",
        icon=":material/public_off:",
    )
    open_table.popover()
    st.markdown("## Or embed your imagery now")
    _imagery()


@st.fragment
def _imagery() -> None:
    """Draw the one panel that needs no table; rerun the page when it adds a table."""
    with in_a_sentence():
        import_module("ui.globe.panels.imagery").draw(None)
    if take_rerun_request():
        st.rerun()


def remarks(data: MapData, painted: EncodedLayer, selected: NDArray[np.int64], drawn: Drawn) -> None:
    """Show one line each about the colours, about invalid rows, and about what cannot be shown."""
    if painted.layer.note:
        st.caption(plain(painted.layer.note))
    if drawn.note:
        st.caption(f":material/zoom_in: {plain(drawn.note)}")
        if len(selected):
            st.caption(f"The selection holds {len(selected):,} places, drawn or not.")
    for sentence in data.problems:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    if not data.has_locations:
        st.caption(
            ":orange[:material/info:] The rows of this table have no "
            "location, so only their projection is shown."
        )
    selection = globe_view().selection
    if selection is not None and not len(selected):
        st.caption(
            ":orange[:material/info:] There is no point inside the selection. Draw a larger one or clear it."
        )
    if not routes.has_routes():
        st.caption(f":orange[:material/info:] {WITHOUT_ROUTES}")


@st.fragment
def panels(context: PanelContext) -> None:
    """Draw the tabs and the open panel; rerun the page if the panel requested a change."""
    for module, tab in zip(
        PANELS.values(), st.tabs(list(PANELS), key="tab", bind="query-params", on_change="rerun"), strict=True
    ):
        if tab.open:
            with tab, in_a_sentence():
                import_module(f"ui.globe.panels.{module}").draw(context)
    if take_rerun_request():
        st.rerun()
