"""What surrounds the pictures of the Mask Lab: the mask painter, the recipe, and the scores."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.engine.results import Reconstruction
from core.masking import MaskSpec
from core.session import PageView
from ui.pickers import controls, painting
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence
from ui.shell.waiting import position

SIMILARITY = {"a few": 0.08, "some": 0.2, "many": 0.4}


def reconstruction(view: PageView) -> Reconstruction:
    """Reconstruct the view; while other requests are ahead of it, show its position in the queue."""
    place = st.empty()

    def draw(ahead: int) -> None:
        if ahead:
            place.info(
                f"{ahead:,} request{'s' * (ahead > 1)} ahead of yours.",
                icon=":material/hourglass_top:",
            )
        else:
            place.empty()

    return cached.reconstruction(view, state.session_id(), position(draw))


def recipe(result: Reconstruction) -> None:
    """Show the warnings, one per line, and the recipe of the pictures above."""
    for sentence in result.warnings:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    st.caption(
        f"{plain(result.recipe.caption())}  \nCompared with {plain(result.recipe.target)}. "
        f"{plain(result.recipe.credit)}"
    )


@st.fragment(parallel=True)
def scores(view: PageView) -> None:
    """PSNR, SSIM and L1 over hidden pixels, beside the fills; computed after the pictures, in parallel."""
    with in_a_sentence():
        _scores(view)


def _scores(view: PageView) -> None:
    from core.viz.tables import score_rows

    result = cached.reconstruction(view, f"{state.session_id()} scores")
    if not result.scored.any():
        st.caption("No patch is hidden, so there is nothing to score.")
        return
    digits = {name: st.column_config.NumberColumn(format=f"%.{n}f") for name, n in (("SSIM", 3), ("L1", 4))}
    place = st.empty()
    draw = position(lambda ahead: place.caption("Computing the scores …" if ahead else " "))
    verdict = cached.verdict(view, result, state.session_id(), draw)
    place.empty()
    st.dataframe(
        score_rows(verdict, result.recipe.model),
        column_config=digits,
        hide_index=True,
        width="stretch",
    )


def paint(view: PageView) -> MaskSpec:
    """Show the mask painter where the mask is painted by hand; return the mask to use."""
    if view.mask.kind != controls.PAINTED:
        return view.mask
    shown = cached.reconstruction(replace(view, mask=MaskSpec("random", ratio=0.0)), state.session_id())
    canvas, help_text = st.columns([1.7, 1], gap="medium")
    with help_text:
        st.markdown(
            "**Paint the mask.** Drag on the tile to hide patches. The toolbar has brush, rectangle, lasso, "
            "eraser and undo."
        )
        amount = st.segmented_control(
            "Similar patches that the dropper hides",
            list(SIMILARITY),
            default="some",
            key="alike",
            required=True,
        )
        st.caption(
            "Click a patch with the dropper to hide it and the patches "
            "similar to it in colour, contrast and gradient."
        )
    key = f"painter {painting.grid_of(view)}"
    mask = painting.painted_mask(view, key, lambda: shown, SIMILARITY[amount or "some"])
    if mask is not None:
        view = replace(view, mask=mask)
        state.publish(view)
    with canvas:
        painting.painter(view, key, shown, 460)
    return view.mask
