"""The panels under the maps as tabs: those whose module is there, and only the open one runs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from ui.globe.desk import Desk, changed
from ui.page import in_a_sentence

PANELS = {
    "Place": "place", "Find": "find", "Label": "label", "Groups": "groups", "Compare": "compare", "My imagery": "imagery",
    "Map": "region", "Anywhere": "anywhere",
}  # fmt: skip


@st.fragment
def panels(desk: Desk) -> None:
    """Draw the tab row and the open panel; when it asked for something, the page runs again with it."""
    here = {title: module for title, module in PANELS.items() if find_spec(f"ui.globe.{module}")}
    for module, tab in zip(here.values(), st.tabs(list(here), key="tab", bind="query-params", on_change="rerun"), strict=True):
        if tab.open:
            with tab, in_a_sentence():
                import_module(f"ui.globe.{module}").draw(desk)
    if changed():
        st.rerun()
