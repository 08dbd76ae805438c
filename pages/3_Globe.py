"""Globe: embeddings on the Earth and in their projection, linked; what is clicked, searched, labelled and grouped is one selection."""

import streamlit as st

from ui import controls, state
from ui.page import page

with page("Globe", "Every point is a place as a network sees it: on the Earth at the left, beside what looks like it at the right."):
    from ui.globe import panels, scene, sight, tables
    from ui.globe.desk import Desk, lay

    view = controls.current_view()
    for sentence in sight.restore():
        st.warning(sentence, icon=":material/link_off:")
    known = tables.known()
    if not known:
        st.info("No table of embeddings is here yet. Make one with `make atlas`, or start with a folder of tables: `make app DATA=folder`.")
        st.stop()
    shown = sight.sight()
    name = shown.table if shown.table in known else next(iter(known))
    made = tables.scene(known[name], shown.model, shown.gsd_m)
    place = tables.row_at(made, shown.place)
    scene.draw(made, place)
    shown = sight.sight()
    desk = lay(Desk(view, name, made.table, made.lonlat, made.plane, scene.selected_rows(made, shown.selection), place, made.table.folder))
    state.publish(view)
    sight.publish()
    panels.panels(desk)
