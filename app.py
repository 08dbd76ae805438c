"""Home: a live reconstruction, four sentences about the models, and links to the labs."""

import streamlit as st

from ui.pickers import controls
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import ICONS, NAME, PURPOSES, labs, page

FOUR_SENTENCES = """
A **masked autoencoder** is trained on satellite tiles by hiding most of each tile and predicting the hidden part.
**Scale-MAE** scales its positional encoding by the ground sample distance and decodes low and high frequencies separately.
**SDMAE** adds tasks that make masked pretraining work on small data sets, and **TinyMIM** distils a large network into
a small one.
Here you choose the mask and the scale, and judge the reconstruction, on your own machine.
"""

with page(NAME, "See what masked autoencoders learn about the Earth"):
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    view = state.recall("home view", None) or controls.default_view()
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        st.markdown(FOUR_SENTENCES)
        st.page_link(
            labs()["Learn"],
            label="**New here? Start with lesson 1, four minutes**",
            icon=ICONS["Learn"],
            query_params={"lesson": "patches"},
        )
        again = st.button("Draw another mask", icon=":material/casino:", type="primary")
    if again:
        view = controls.other_mask(view)
        state.keep("home view", view)
    with right, st.spinner("Reconstructing the hidden patches", show_time=True):
        made = cached.reconstruction(view, state.session_id())
    with right:
        shown = {panel.name: panel for panel in panels(made)}
        st.html(sheet([shown[name] for name in ("masked", "combined", "original")]))
        for sentence in made.warnings[:1]:
            st.caption(f":orange[:material/info:] {plain(sentence)}")
        st.caption(f"Computed just now: {plain(made.recipe.caption())}. {plain(made.recipe.credit)}")
    st.space("small")
    pages = labs()
    for column, (name, path) in zip(st.columns(max(3, len(pages))), pages.items(), strict=False):
        with column.container(border=True, height="stretch"):
            st.page_link(path, label=f"**{plain(name)}**", icon=ICONS.get(name))
            st.caption(PURPOSES.get(name, ""))
