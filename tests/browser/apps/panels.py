"""The panels of the Globe page without its maps, so that a panel is tested without waiting for WebGL in software."""

import streamlit as st

from ui.globe import sight, tables
from ui.globe.desk import Desk, lay
from ui.globe.panels.tabs import panels
from ui.pickers import page_view
from ui.shell import state
from ui.shell.page import in_a_sentence

st.set_page_config(layout="wide")
with in_a_sentence():
    view = page_view.current_view()
    sight.restore()
    known = tables.known()
    name = sight.sight().table if sight.sight().table in known else next(iter(known))
    made = tables.scene(known[name])
    place = tables.row_at(made, sight.sight().place)
    st.caption(f"open: {name}, {len(made.table)} rows")
    state.publish(view)
    sight.publish()
    panels(lay(Desk(view, name, made.table, made.lonlat, made.plane, place=place, folder=known[name])))
