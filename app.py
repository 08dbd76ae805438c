"""Home: a live first picture, what the models are in four sentences, and the doors to the labs that exist."""

import streamlit as st

from ui.pickers import controls
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import ICONS, NAME, PURPOSES, labs, page

FOUR_SENTENCES = """
A **masked autoencoder** learns about the Earth by hiding most of a satellite tile from itself and imagining the rest.
**Scale-MAE** tells its positions how many metres a pixel measures, and paints low and high frequencies apart.
**SDMAE** adds tasks that make such training work on little data, and **TinyMIM** hands what a large network knows to a small one.
Here you hide the patches, choose the scale, and judge what comes back, on your own machine.
"""

with page(NAME, "See what masked autoencoders know about the Earth"):
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    view = state.recall("home view", None) or controls.default_view()
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        st.markdown(FOUR_SENTENCES)
        again = st.button("Hide other patches", icon=":material/casino:", type="primary")
    if again:
        view = controls.other_mask(view)
        state.keep("home view", view)
    with right, st.spinner("The network is imagining the hidden patches", show_time=True):
        made = cached.reconstruction(view, state.session_id())
    with right:
        shown = {panel.name: panel for panel in panels(made)}
        st.html(sheet([shown[name] for name in ("masked", "combined", "original")]))
        for sentence in made.warnings[:1]:
            st.caption(f":orange[:material/info:] {plain(sentence)}")
        st.caption(f"Computed just now: {plain(made.recipe.caption())}. {plain(made.recipe.credit)}")
    st.space("small")
    doors = labs()
    for column, (name, path) in zip(st.columns(max(3, len(doors))), doors.items(), strict=False):
        with column.container(border=True, height="stretch"):
            st.page_link(path, label=f"**{plain(name)}**", icon=ICONS.get(name))
            st.caption(PURPOSES.get(name, ""))
