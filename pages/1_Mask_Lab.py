"""Mask Lab: hide patches of a tile, reconstruct them with a network, score and export the result."""

from ui.learn.tour import tour
from ui.pickers import page_view
from ui.shell.page import page, pictures_and_controls

with page(
    "Mask Lab",
    "Hide patches of a satellite tile. The network sees only the visible ones and reconstructs the others.",
    linked=True,
):
    from ui.mask_lab import lab
    from ui.mask_lab.sections import SECTIONS, sections

    tour("Mask Lab")
    view = page_view.current_view(tabs=SECTIONS)
    column, inspector = pictures_and_controls()
    with inspector:
        view = page_view.edit(view)
        similar_share = lab.dropper(view)
    with column:
        view, result = lab.pictures(view, similar_share)
        lab.tools()
        lab.recipe(result)
    lab.let_others_first(view)
    lab.scores(view)
    sections(view, result)
