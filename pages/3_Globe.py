"""Globe: embeddings on the Earth and in their projection, linked; what is clicked, searched, labelled and grouped is one selection."""

import streamlit as st

from ui.pickers import page_view
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.page import page

with page(
    "Globe",
    "Every point is a place as a network sees it: on the Earth, and beside what looks like it. Click, lasso, search, label.",
    linked=True,
):
    from ui.globe import choices, sight, tables
    from ui.globe.desk import Desk, lay
    from ui.globe.map import colour, scene
    from ui.globe.panels import tabs as panels

    view = page_view.current_view(tabs=panels.PANELS)
    with st.container():  # holds its place, as in `page_view.current_view`
        for sentence in sight.restore():
            st.warning(plain(sentence), icon=":material/link_off:")
    known = tables.known()
    if not known:
        panels.nothing_yet()
        st.stop()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = choices.choose_rows(list(known))
        whole = tables.table_at(known[name])
        choices.choose_model_and_scale(whole)
        with st.spinner("Opening the table", show_time=True):
            made = tables.scene(known[name], sight.sight().model, sight.sight().gsd_m)
        scene.hear(made)
        place = tables.row_at(made, sight.sight().place)
        by = choices.choose_colour(made.table, place)
        choices.undo_button()
    with st.spinner("Colouring the points", show_time=True):
        painted = colour.paint_by(made.table, by, place)
    scene.show(made, painted, place)
    selected = scene.selected_rows(made, sight.sight().selection)
    with st.container():
        panels.remarks(made, painted, selected)
    state.publish(view)
    sight.publish()
    panels.panels(
        lay(Desk(view, name, made.table, made.lonlat, made.plane, selected, place, known[name], whole))
    )
