"""Globe: embeddings on the Earth and in a 2-D projection, linked; click, lasso, search, label, group."""

import streamlit as st

from ui.learn.tour import tour
from ui.pickers import page_view
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.page import page
from ui.shell.style import MAPS_AND_PANEL, PANEL

with page(
    "Globe",
    "Each point is an image tile. The left map shows where it is on Earth, the right map which tiles have "
    "similar embeddings.",
    linked=True,
):
    from ui.globe import choices, open_table, place_search, tables
    from ui.globe.globe_state import globe_view, publish, restore
    from ui.globe.map import colour, linked_maps
    from ui.globe.panel_api import PanelContext, set_context
    from ui.globe.panels import tabs as panels

    tour("Globe")
    view = page_view.current_view(tabs=panels.PANELS)
    with st.container():  # always there, so that warnings do not move the elements below
        for sentence in restore():
            st.warning(plain(sentence), icon=":material/link_off:")
    available = tables.available_tables()
    if not available:
        panels.without_tables()
        st.stop()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = choices.choose_table(list(available))
        whole = tables.table_at(available[name])
        choices.choose_model_and_scale(whole)
        with st.spinner("Opening the table", show_time=True):
            data = tables.shown_data(available[name], whole)
        linked_maps.read_browser_events(data)
        place = tables.row_at(data, globe_view().place)
        by = choices.choose_colour(data.table, place)
        choices.choose_land(whole)
        choices.undo_button()
        open_table.popover()
    maps, beside = st.container(key=MAPS_AND_PANEL).columns([2, 1], gap="medium")
    with maps:
        search = st.container()
        with st.spinner("Colouring the points", show_time=True):
            drawn = linked_maps.drawn_now(data, place)
            encoded = colour.encoded_colours(data.table, by, place, drawn)
        linked_maps.show(data, encoded, place, drawn)
        selected = linked_maps.selected_rows(data, globe_view().selection)
        with st.container():
            panels.remarks(data, encoded, selected, drawn)
            with st.container(horizontal=True):
                open_table.area_button(name, available[name], data, selected)
                linked_maps.share_button(data, encoded, place, drawn)
    state.publish(view)
    publish()
    context = set_context(
        PanelContext(view, name, data.table, data.lonlat, data.plane, selected, place, available[name], whole)
    )
    with search:
        place_search.search_box(context)
    with beside, st.container(key=PANEL):
        panels.panels(context)
