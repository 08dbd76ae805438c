"""The search box above the maps: what words may mean while one types, and one click to find it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import streamlit as st

from core.errors import ExplorerError
from core.geo import gazetteer
from ui.globe import panel_api as api
from ui.globe.panel_api import PanelContext
from ui.globe.panels import words
from ui.globe.panels.words import Meaning
from ui.shell import cached, state
from ui.shell.escaping import plain

OFFERED = 5
CLOSE_UP = 3.0
BOX_PX, ARRIVAL_PX = 340, 330
"""Side by side they are as wide as the maps on a window of 1400 px, so that the maps do not move down."""
_WENT = "globe went to"
_BOX = "go to place"


@st.fragment
def search_box(context: PanelContext) -> None:
    """Offer places and classes that match what has been typed.

    A place turns the globe and selects its nearest row; other words open the panel Find.
    """
    if not words.can_search(context):
        return
    cached.result_cache("names of places", 1).get_or_compute("begun", _prepare)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Search for a place or a class of your labels",
            help=words.help_text(),
            key=state.widget(_BOX, ""),
            placeholder="Deutschland · München · 北京 · 46.5, 7.9",
            max_chars=gazetteer.LONGEST,
            live="150ms",
            width=BOX_PX,
        )
        if text and text.strip():
            try:
                found = words.meanings(context, text, OFFERED)
            except ExplorerError as problem:
                st.caption(plain(problem))
                return
            for number, meaning in enumerate(found):
                st.button(
                    plain(meaning.title),
                    key=f"go to {number} {meaning.title}",
                    type="primary" if number == 0 else "secondary",
                    on_click=_finding(meaning, text) if meaning.place is None else _went(context, meaning),
                )
        elif arrival := state.recall(_WENT, ""):
            st.caption(arrival, width=ARRIVAL_PX)
    if api.take_rerun_request():
        st.rerun()


def _went(context: PanelContext, meaning: Meaning) -> Callable[[], None]:
    """Go to a place; say where its row lies, and empty the box."""

    def go() -> None:
        assert meaning.place is not None
        query = words.query(context, meaning)
        state.keep(_WENT, f"{plain(meaning.title)}. {plain(query.note)} Its look-alikes are under Place.")
        state.set_widget(_BOX, "")
        api.select_place(query.exclude[0], fly=False)
        api.fly_to(meaning.place.lon, meaning.place.lat, CLOSE_UP)

    return go


def _finding(meaning: Meaning, text: str) -> Callable[[], None]:
    """Show the tiles of a class or a description in the panel Find, and empty the box."""

    def find() -> None:
        name = meaning.name if meaning.kind == "class" else text
        state.keep(_WENT, f"{plain(meaning.title)}: the results are under Find.")
        state.set_widget(_BOX, "")
        state.open_tab("Find")
        api.set_panel_param("search", f"{meaning.kind}:{name}")

    return find


def _prepare() -> bool:
    threading.Thread(target=gazetteer.prepare, name="names of places", daemon=True).start()
    return True
