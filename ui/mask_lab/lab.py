"""What the Mask Lab shows around its pictures: the painter, the recipe, and scores that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from core.engine.results import Reconstruction
from core.judge import alike
from core.masking import MaskSpec, make_mask
from core.session import PageView
from core.viz.pictures import stretch_of
from core.viz.sheet import jpeg
from ui.pickers import controls
from ui.shell import cached, state
from ui.shell.escaping import plain

ALIKE = {"a few": 0.08, "some": 0.2, "many": 0.4}


def reconstruction(view: PageView) -> Reconstruction:
    """The view's reconstruction; while others are before the device, the place in the queue is shown.

    Writing to the page also ends this run where the same person has moved on, so that nothing outdated is computed.
    """
    place = st.empty()

    def tell(ahead: int) -> None:
        if ahead:
            place.info(
                f"{ahead:,} call{'s' * (ahead > 1)} before yours; your picture follows.",
                icon=":material/hourglass_top:",
            )
        else:
            place.empty()

    return cached.reconstruction(view, state.session_id(), tell)


def recipe(made: Reconstruction) -> None:
    """The warnings, one line each, and the recipe of every picture above."""
    for sentence in made.warnings:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    st.caption(
        f"{plain(made.recipe.caption())}  \nCompared with {plain(made.recipe.target)}. {plain(made.recipe.credit)}"
    )


@st.fragment(parallel=True)
def scores(view: PageView) -> None:
    """PSNR, SSIM and L1 over hidden pixels beside the fills; they arrive after the pictures and never hold them back."""
    from core.viz.tables import score_rows

    made = cached.reconstruction(view, f"{state.session_id()} scores")
    if not made.scored.any():
        st.caption("Nothing is hidden, so there is nothing to score.")
        return
    digits = {name: st.column_config.NumberColumn(format=f"%.{n}f") for name, n in (("SSIM", 3), ("L1", 4))}
    st.dataframe(
        score_rows(cached.verdict(view, made), made.recipe.model),
        column_config=digits,
        hide_index=True,
        width="stretch",
    )


def paint(view: PageView) -> MaskSpec:
    """The painter, where the mask is painted by hand; gives the mask that the network will see."""
    if view.mask.kind != controls.PAINTED:
        return view.mask
    from earth_mae_components import mask_painter, painted

    card = cached.card_of(view.model)
    grid = (view.tile.size_px or card.input_px) // card.patch_px
    shown = cached.reconstruction(replace(view, mask=MaskSpec("random", ratio=0.0)), state.session_id())
    canvas, words = st.columns([1.7, 1], gap="medium")
    with words:
        st.markdown(
            "**Paint what is hidden.** Drag on the tile; the bar above it holds brush, rectangle, lasso, eraser and undo."
        )
        kind = st.segmented_control(
            "The pick tool hides this kind of patch", list(ALIKE), default="some", key="alike", required=True
        )
        st.caption(
            "Pick a patch with the dropper: patches that look like it (colour, contrast, slope) are hidden too."
        )
    key = f"painter {grid}"
    if (done := painted(grid, grid, key)) is not None:
        hidden = done.mask
        if done.pick is not None:
            hidden = np.asarray(hidden) | alike(shown.input, card.patch_px, done.pick, ALIKE[kind or "some"])
        view = replace(view, mask=controls.painted(hidden))
        state.publish(view)
    with canvas:
        image = jpeg(stretch_of(shown).draw(shown.target))
        mask_painter(
            image,
            grid,
            grid,
            make_mask(view.mask, grid, grid).hidden,
            key,
            label="Patches to hide",
            max_width_px=460,
        )
    return view.mask
