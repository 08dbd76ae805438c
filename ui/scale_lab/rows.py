"""One row of the Scale Lab: what the network receives, as text, and the pictures of its reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.engine.bands import true_bands
from core.engine.results import Reconstruction
from core.engine.scales import Scale
from core.errors import ExplorerError
from core.judge import band_errors
from core.policy import res_text
from core.session import PageView
from core.units import metres
from core.viz.patches import picture_panel
from core.viz.pictures import Panel
from core.viz.scales import Look, band_panels, row_panels
from core.viz.sheet import blank_sheet, sheet
from ui.shell import cached
from ui.shell.escaping import plain

PANELS = 5
"""Pictures in a row."""


def draw_row(
    result: Reconstruction, model: str, look: Look, key: str, own: Reconstruction | None, *, bands: bool
) -> None:
    """Draw low, high, combined and error, or with `bands` the paper's frequency split.

    Warnings that the reconstruction at the tile's `own` scale has too are shown only there.
    """
    fed = result.recipe
    res = (
        f"res {fed.res_text} by {fed.policy}"
        if cached.card_of(model).gsd_aware
        else "static positional encoding, no res"
    )
    place = " · tile's own scale" if result is own else ""
    st.markdown(
        f"**{metres(fed.gsd)}**{place} · fed {fed.input_px:,} px, "
        f"{fed.grid[0]:,} x {fed.grid[1]:,} patches · {plain(res)}"
    )
    errors = band_errors(result)
    try:
        panels = (
            _bands(result, model, look, key)
            if bands
            else row_panels(result, look, key, errors["combined"] if errors else None)
        )
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    st.html(sheet(panels, abreast=5, least_px=98))
    for sentence in result.warnings:
        if own is None or sentence not in own.warnings:
            st.caption(f":orange[:material/info:] {plain(sentence)}")


def draw_waiting(scale: Scale) -> None:
    """Draw a placeholder of a row's final height: rows arrive in any order, and the page must not move."""
    place = " · tile's own scale" if scale.own else ""
    st.markdown(f"**{metres(scale.gsd_m)}**{place} · fed {scale.side_px:,} px · computing")
    st.html(blank_sheet(PANELS, abreast=5, least_px=98))


def draw_fed(views: Sequence[PageView]) -> list[int]:
    """Show the input at each scale of a network without a decoder; return the indices of readable views."""
    st.caption(
        "This network has no decoder, so there is no mask and no reconstruction. The pictures below are its "
        "inputs; Curves and Patches "
        "show its embeddings."
    )
    panels: dict[int, Panel] = {}
    for n, view in enumerate(views):
        try:
            ready = cached.prepared(view)
        except ExplorerError as problem:
            st.warning(plain(problem))
            continue
        gsd_m, native_gsd_m = ready.fed.tile.gsd, ready.tile.native_gsd_m
        text = res_text(view.policy, ready.res, gsd_m=gsd_m, native_gsd_m=native_gsd_m)
        res = f", res {text}" if cached.card_of(view.model).gsd_aware else ""
        panels[n] = picture_panel(
            ready.fed.unit,
            f"fed-{n}",
            metres(ready.fed.tile.gsd),
            f"{ready.fed.side} px{res}",
            None,
            ready.grid,
        )
    st.html(sheet(list(panels.values()), abreast=4, least_px=98))
    return list(panels)


def _bands(result: Reconstruction, model: str, look: Look, key: str) -> tuple[Panel, ...]:
    config = cached.reconstructor(model).band_config
    return band_panels(
        result, true_bands(result.target, config), true_bands(result.combined, config), look, key
    )
