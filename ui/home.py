"""The live picture on Home: a masked tile to paint on, its reconstruction, and other tiles to choose from."""

from __future__ import annotations

import random
from dataclasses import replace

import streamlit as st

from core.errors import ExplorerError
from core.geo.gallery import GalleryEntry
from core.masking import MaskSpec, make_mask
from core.session import PageView
from core.units import metres
from ui.pickers import controls, painting
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence
from ui.shell.style import PAINTER_ROOM, STRIP

FIRST_TITLE = "Nile delta and Sinai"
SIDE_PX = 740
"""How large the two pictures grow: both and the buttons below them fit on a screen of 1920 x 1080."""
GAP_PX = 64
SIMILAR_SHARE = 0.2
_VIEW, _PAINTER = "home view", "home painter"


@st.fragment
def live_picture() -> None:
    """A tile to paint on beside what the network makes of it; reruns alone."""
    with in_a_sentence():
        view = _painted(state.recall(_VIEW, None) or _on(_first()))
        state.keep(_VIEW, view)
        _pictures(view)
        _choices(view)


def _on(entry: GalleryEntry) -> PageView:
    view = controls.default_view()
    return replace(view, tile=controls.tile_of(entry, cached.card_of(view.model).input_px))


def _first() -> GalleryEntry:
    entries = cached.gallery()
    return next((entry for entry in entries if entry.title == FIRST_TITLE), entries[0])


def _painted(view: PageView) -> PageView:
    """The view with the mask that was just painted, if any."""
    mask = painting.painted_mask(
        view, _PAINTER, lambda: cached.reconstruction(view, state.session_id()), SIMILAR_SHARE
    )
    return view if mask is None else replace(view, mask=mask)


def _pictures(view: PageView) -> None:
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    with st.container(width=2 * SIDE_PX + GAP_PX):
        left, right = st.columns(2, gap="large", vertical_alignment="bottom")
    with right:
        result = cached.reconstruction(view, state.session_id())
        combined = next(panel for panel in panels(result) if panel.name == "combined")
        grid = painting.grid_of(view)
        visible = int((~make_mask(view.mask, grid, grid).hidden).sum())
        title = f"Reconstruction from {visible} visible patch{'es' * (visible != 1)}"
        st.html(sheet([replace(combined, title=title, note="")], abreast=1))
    with left, st.container(key=PAINTER_ROOM):
        painting.painter(view, _PAINTER, result, SIDE_PX)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Next picture", icon=":material/skip_next:", type="primary", on_click=_next)
        st.button("New mask", icon=":material/casino:", on_click=_new_mask)
        if st.button("Open in the Mask Lab", icon=":material/grid_view:"):
            state.open_page(view, "pages/1_Mask_Lab.py")
        with st.popover("How it was computed", icon=":material/info:"):
            for sentence in result.warnings:
                st.caption(f":orange[:material/info:] {plain(sentence)}")
            st.caption(f"{plain(result.recipe.caption())}. {plain(result.recipe.credit)}")


def _choices(view: PageView) -> None:
    """A strip of the gallery's tiles; a click on one shows it."""
    with st.container(horizontal=True, key=STRIP):
        for entry in cached.gallery():
            with st.container(key=f"{STRIP} {entry.title}", width=104):
                try:
                    st.image(cached.thumbnail_of(entry.spec), width="stretch", alt=entry.title)
                except ExplorerError:
                    continue
                st.button(
                    plain(entry.title),
                    help=f"{metres(entry.gsd_m)} per pixel. {plain(entry.credit)}",
                    key=f"show {entry.title}",
                    type="tertiary",
                    on_click=_show,
                    args=(entry,),
                    disabled=controls.tile_of(entry, cached.card_of(view.model).input_px) == view.tile,
                )


def _show(entry: GalleryEntry) -> None:
    state.keep(_VIEW, replace(_on(entry), mask=MaskSpec(seed=random.randrange(10_000))))


def _next() -> None:
    entries = cached.gallery()
    shown: PageView | None = state.recall(_VIEW, None)
    titles = (
        [controls.tile_of(entry, cached.card_of(shown.model).input_px) for entry in entries] if shown else []
    )
    place = titles.index(shown.tile) if shown and shown.tile in titles else -1
    _show(entries[(place + 1) % len(entries)])


def _new_mask() -> None:
    shown: PageView | None = state.recall(_VIEW, None)
    if shown is not None:
        state.keep(_VIEW, replace(shown, mask=MaskSpec(seed=random.randrange(10_000))))
