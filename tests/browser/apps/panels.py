"""The panels of the Globe page without its maps, so that a panel is tested without waiting for WebGL in
software."""

import streamlit as st

from ui.globe import globe_state, tables
from ui.globe.panel_api import PanelContext, set_context
from ui.globe.panels.tabs import panels
from ui.pickers import page_view
from ui.shell import state
from ui.shell.page import in_a_sentence

st.set_page_config(layout="wide")
with in_a_sentence():
    view = page_view.current_view()
    globe_state.restore()
    known = tables.available_tables()
    name = globe_state.globe_view().table if globe_state.globe_view().table in known else next(iter(known))
    made = tables.map_data(known[name])
    place = tables.row_at(made, globe_state.globe_view().place)
    st.caption(f"open: {name}, {len(made.table)} rows")
    state.publish(view)
    globe_state.publish()
    panels(
        set_context(
            PanelContext(view, name, made.table, made.lonlat, made.plane, place=place, folder=known[name])
        )
    )
