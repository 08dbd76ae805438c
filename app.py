"""Home: a live reconstruction to paint on, four sentences about the models, and links to the labs."""

import streamlit as st

from ui.shell.escaping import plain
from ui.shell.page import ICONS, NAME, PURPOSES, labs, page
from ui.shell.style import DOORS

FOUR_SENTENCES = """
A **masked autoencoder** is trained on satellite tiles by hiding most of each tile and predicting the hidden
part. **Scale-MAE** scales its positional encoding by the ground sample distance and decodes low and high
frequencies separately. **SDMAE** adds tasks that make masked pretraining work on small data sets, and
**TinyMIM** distils a large network into a small one.
"""

with page(
    NAME,
    "Paint on the tile to hide parts of it. The network sees only the rest and imagines what is missing.",
):
    from ui import home

    st.page_link(
        labs()["Learn"],
        label="**New here? Start with lesson 1, four minutes**",
        icon=ICONS["Learn"],
        query_params={"lesson": "patches"},
    )
    home.live_picture()
    st.space("small")
    with st.container(key=DOORS):
        pages = labs()
        for column, (name, path) in zip(st.columns(max(3, len(pages))), pages.items(), strict=False):
            with column.container(border=True, height="stretch"):
                st.page_link(path, label=f"**{plain(name)}**", icon=ICONS.get(name))
                st.caption(PURPOSES.get(name, ""))
    st.markdown(FOUR_SENTENCES)
