"""Mask Lab: hide patches of a tile, reconstruct them with a network, score and export the result."""

from dataclasses import replace

import streamlit as st

from ui.learn.tour import tour
from ui.pickers import page_view
from ui.shell import state
from ui.shell.page import page, pictures_and_controls

with page(
    "Mask Lab",
    "Hide patches of a satellite tile. The network sees only the visible ones and reconstructs the others.",
    linked=True,
):
    from core.viz.pictures import panels
    from core.viz.sheet import sheet
    from ui.mask_lab import lab
    from ui.mask_lab.sections import SECTIONS, sections

    tour("Mask Lab")
    view = page_view.current_view(tabs=SECTIONS)
    column, inspector = pictures_and_controls()
    with inspector:
        view = page_view.edit(view)
    with column:
        view = replace(view, mask=lab.paint(view))
        state.publish(view)
        result = lab.reconstruction(view)
        pictures = panels(result)
        st.html(sheet(pictures, abreast=(len(pictures) + 1) // 2))
        lab.recipe(result)
    lab.scores(view)
    sections(view, result)
