"""The panel "Place": what was clicked."""

from __future__ import annotations

import streamlit as st

from core.atlas.neighbors import nearest
from ui.globe import desk as ask
from ui.globe.desk import Desk


def draw(desk: Desk) -> None:
    """Show the tile of the place in hand and what is most like it."""
    if desk.place is None:
        st.info(
            "Click a point on either map: its tile, what is most like it and where else on Earth it could be appear here.",
            icon=":material/ads_click:",
        )
        return
    found = nearest(desk.table, desk.table.vectors_of([desk.place])[0], 12, exclude=[desk.place])
    ask.ring(found.rows.tolist())
    clicked = ask.pictures(desk, found.rows.tolist(), [f"{score:.3f}" for score in found.similarity], key="near")
    if clicked is not None:
        ask.choose(clicked)
