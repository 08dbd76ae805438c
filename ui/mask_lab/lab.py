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
from ui.shell.style import LOUPE, PAINTER_ROOM
from ui.shell.waiting import position

SIMILARITY = {"a few": 0.08, "some": 0.2, "many": 0.4}
LARGE = ("masked", "combined")
"""The pictures that are shown large, side by side."""
LARGEST_PX = 900
PLACE = "tile"
"""All pictures of the lab show the same ground, so that the loupe follows in all of them."""
KEYS = (
    ("L", "Loupe: the same place in all pictures"),
    ("W", "Wipe: the original (or first picture) left of the pointer, the picture right of it"),
    ("+  −", "Zoom of the loupe"),
    ("D", "Large pictures, or all of equal size"),
    ("Arrow keys", "Move the loupe, with the keyboard focus on its toolbar"),
    ("M", "Draw another mask"),
    ("?", "This list"),
)


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


def let_others_first(view: PageView) -> None:
    """Let the pictures of other people go before the scores and sections of this one."""
    place = st.empty()
    draw = position(lambda ahead: place.caption("The scores follow …" if ahead else " "))
    cached.after_pictures(view, state.session_id(), draw)
    place.empty()


def tools() -> None:
    """The toolbar of the pictures: loupe, wipe, layout and keyboard shortcuts."""
    from earth_mae_components import loupe

    with st.container(key=LOUPE):
        loupe(KEYS)


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


def dropper(view: PageView) -> float:
    """Where the mask is painted: how many similar patches the dropper hides, as a share of all patches."""
    if view.mask.kind != controls.PAINTED:
        return SIMILARITY["some"]
    amount = st.segmented_control(
        "Similar patches that the dropper hides",
        list(SIMILARITY),
        default="some",
        key="alike",
        required=True,
        help="Click a patch with the dropper to hide it and the patches similar to it in colour, contrast "
        "and gradient.",
    )
    return SIMILARITY[amount or "some"]


def paint(view: PageView, similar_share: float, max_width_px: int = 460) -> MaskSpec:
    """Show the mask painter where the mask is painted by hand; return the mask to use."""
    if view.mask.kind != controls.PAINTED:
        return view.mask
    shown = cached.reconstruction(replace(view, mask=MaskSpec("random", ratio=0.0)), state.session_id())
    key = f"painter {painting.grid_of(view)}"
    mask = painting.painted_mask(view, key, lambda: shown, similar_share)
    if mask is not None:
        view = replace(view, mask=mask)
        state.publish(view)
    with st.container(key=PAINTER_ROOM):
        painting.painter(view, key, shown, max_width_px)
    return view.mask


def pictures(view: PageView, similar_share: float) -> tuple[PageView, Reconstruction]:
    """The visible patches, or the painter, beside the reconstruction; the other pictures in a row below.

    Returns the view with the mask as painted, and its reconstruction.
    """
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    if view.mask.kind != controls.PAINTED:
        state.publish(view)
        result = reconstruction(view)
        named = {panel.name: panel for panel in panels(result)}
        large = [named.pop(name) for name in LARGE]
        st.html(sheet([*large, *named.values()], large=len(large), abreast=5, least_px=98, place=PLACE))
        return view, result
    left, right = st.columns(2, gap="small", vertical_alignment="bottom")
    with left:
        view = replace(view, mask=paint(view, similar_share, LARGEST_PX))
        state.publish(view)
    with right:
        result = reconstruction(view)
        named = {panel.name: panel for panel in panels(result)}
        st.html(sheet([named.pop("combined")], abreast=1, place=PLACE))
    st.html(sheet(list(named.values()), abreast=6, least_px=98, place=PLACE))
    return view, result
