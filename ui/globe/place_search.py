"""The search box above the maps: places by name while one types, and one click to go there."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import streamlit as st

from core.errors import ExplorerError
from core.geo import gazetteer
from core.geo.gazetteer import NamedPlace, find_places
from core.units import metres
from ui.globe import panel_api as api
from ui.globe.panel_api import PanelContext
from ui.shell import cached, state
from ui.shell.escaping import plain

OFFERED = 5
CLOSE_UP = 3.0
FAR_KM = 500.0
_WENT = "globe went to"
_BOX = "go to place"


@st.fragment
def search_box(context: PanelContext) -> None:
    """Offer places that match what has been typed; the row nearest to the clicked one becomes selected."""
    if not np.isfinite(context.lonlat).any():
        return
    cached.result_cache("names of places", 1).get_or_compute("begun", _prepare)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Go to a town, a country or coordinates",
            key=state.widget(_BOX, ""),
            placeholder="Deutschland · München · 北京 · 46.5, 7.9",
            max_chars=gazetteer.LONGEST,
            live="150ms",
            width=340,
        )
        if text and text.strip():
            try:
                found = find_places(text, OFFERED)
            except ExplorerError as problem:
                st.caption(plain(problem))
                return
            for number, place in enumerate(found):
                st.button(
                    plain(place.label),
                    key=f"go to {number} {place.label}",
                    type="primary" if number == 0 else "secondary",
                    on_click=_went(context, place),
                )
        elif arrival := state.recall(_WENT, ""):
            st.caption(arrival)
    if api.take_rerun_request():
        st.rerun()


def _went(context: PanelContext, place: NamedPlace) -> Callable[[], None]:
    """Go to a place; say where its row lies, and empty the box."""

    def go() -> None:
        row = context.table.nearest_place(place.lon, place.lat)
        km = context.table.distance_km(row, place.lon, place.lat)
        far = " **This table may not cover the place.**" if km > FAR_KM else ""
        state.keep(
            _WENT,
            f"{plain(place.label)}: the centre of the nearest tile is {metres(1000 * km)} away. "
            f"Its look-alikes are under Place.{far}",
        )
        state.set_widget(_BOX, "")
        api.select_place(row, fly=False)
        api.fly_to(place.lon, place.lat, CLOSE_UP)

    return go


def _prepare() -> bool:
    threading.Thread(target=gazetteer.prepare, name="names of places", daemon=True).start()
    return True
