"""The panels under the maps as tabs: a module each, and only the open one runs."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.globe.desk import Desk, changed
from ui.globe.map.colour import Painted
from ui.globe.map.scene import WITHOUT_ROUTES
from ui.globe.sight import sight
from ui.globe.tables import Scene
from ui.shell import routes
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

PANELS = {
    "Place": "place", "Find": "find", "Label": "label", "Groups": "groups", "Compare": "compare", "My imagery": "imagery",
    "Map": "region", "Anywhere": "anywhere",
}  # fmt: skip


def nothing_yet() -> None:
    """What there is to do where no table is here yet."""
    st.info(
        "No table of embeddings is here yet. `make atlas` embeds the whole Earth (some minutes); `make app DATA=folder` brings tables of "
        "your own, written by `python -m core embed` or by others (Major TOM, Clay, Earth Index, any GeoParquet with vectors).",
        icon=":material/public_off:",
    )
    st.markdown("## Or embed imagery of your own now")
    _imagery()


@st.fragment
def _imagery() -> None:
    """The one panel that needs no table; when a table of the user's own was made or chosen, the page runs again with it."""
    with in_a_sentence():
        import_module("ui.globe.panels.imagery").draw(None)
    if changed():
        st.rerun()


def remarks(scene: Scene, painted: Painted, selected: NDArray[np.int64]) -> None:
    """One line each: what the colours mean, what is wrong with rows, what cannot be shown."""
    if painted.layer.note:
        st.caption(plain(painted.layer.note))
    for sentence in scene.problems:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    if not scene.placed:
        st.caption(
            ":orange[:material/info:] This table does not say where its rows are, so only their projection is shown."
        )
    chosen = sight().selection
    if chosen is not None and not len(selected):
        st.caption(
            ":orange[:material/info:] There is no point inside the selection; draw it larger, or lift it."
        )
    if not routes.served():
        st.caption(f":orange[:material/info:] {WITHOUT_ROUTES}")


@st.fragment
def panels(desk: Desk) -> None:
    """Draw the tab row and the open panel; when it asked for something, the page runs again with it."""
    for module, tab in zip(
        PANELS.values(), st.tabs(list(PANELS), key="tab", bind="query-params", on_change="rerun"), strict=True
    ):
        if tab.open:
            with tab, in_a_sentence():
                import_module(f"ui.globe.panels.{module}").draw(desk)
    if changed():
        st.rerun()
