"""The rows of the Scale Lab: what the network receives at each scale, and what it reconstructs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import streamlit as st

from core.engine.bands import true_bands
from core.engine.results import Reconstruction
from core.engine.scales import Scale
from core.errors import ExplorerError
from core.judge import band_errors
from core.policy import res_text
from core.session import PageView
from core.units import metres
from core.viz.maps import scale_bar
from core.viz.patches import picture_panel
from core.viz.pictures import Panel
from core.viz.scales import Look, band_panels, look_of, row_panels
from core.viz.sheet import blank_sheet, sheet
from ui.mask_lab.lab import recipe
from ui.shell import cached, state
from ui.shell.escaping import plain

NO_PICTURE = (
    "This network has no decoder, so there is no reconstruction to compare. "
    "Curves and Patches show its embeddings."
)
DRAWN = "scale rows drawn"
PANELS = 5
"""Pictures in a row."""


def draw_rows(view: PageView, scales: Sequence[Scale], views: Sequence[PageView], *, bands: bool) -> None:
    """Draw every scale as a row, the tile's own first; of a network without a decoder, only its inputs."""
    card = cached.card_of(view.model)
    if not card.reconstructs:
        draw_fed(views)
        return
    own = next(n for n, scale in enumerate(scales) if scale.own)
    places = [st.empty() for _ in scales]
    if not state.recall(DRAWN, False):
        for place, scale in zip(places, scales, strict=True):
            with place.container():
                draw_waiting(scale)
    rows: dict[int, Reconstruction] = {}
    look: Look | None = None
    for n, result in _in_turn(scales, views):
        if isinstance(result, ExplorerError):
            places[n].warning(f"{metres(scales[n].gsd_m)}: {plain(result)}")
            continue
        look = look or look_of(result)
        rows[n] = result
        with places[n].container():
            draw_row(result, view.model, look, f"scale-{n}", rows.get(own), bands=bands)
    state.keep(DRAWN, bool(rows))
    if look:
        st.html(scale_bar(look.full, "absolute error, the same scale in every row"))
    if card.two_bands:
        st.caption(
            "The decoder outputs twice as many pixels a side as the input, but its positional encoding "
            "uses the input's res only. The released code computes an encoding for the target's "
            "resolution and never uses it, so the target's scale has no effect here."
        )
    if own in rows:
        recipe(rows[own])


def reconstructed(
    scales: Sequence[Scale], views: Sequence[PageView]
) -> tuple[dict[int, Reconstruction], list[int]]:
    """The reconstructions by scale, finest first, and the indices of the scales that can be read.

    A network without a decoder has only the latter.
    """
    if not cached.card_of(views[0].model).reconstructs:
        return {}, [n for n, view in enumerate(views) if _readable(view)]
    rows = {n: result for n, result in _in_turn(scales, views) if not isinstance(result, ExplorerError)}
    return dict(sorted(rows.items())), sorted(rows)


def _in_turn(
    scales: Sequence[Scale], views: Sequence[PageView]
) -> Iterator[tuple[int, Reconstruction | ExplorerError]]:
    """Each scale's index and reconstruction, or why there is none; the tile's own first. Shows progress."""
    order = sorted(range(len(scales)), key=lambda n: not scales[n].own)
    bar = st.progress(0.0)
    found = cached.reconstructions([views[n] for n in order], state.session_id())
    for done, (n, result) in enumerate(found, 1):
        bar.progress(done / len(scales), f"{done} of {len(scales)} scales")
        yield order[n], result
    bar.empty()


def _readable(view: PageView) -> bool:
    try:
        cached.prepared(view)
    except ExplorerError as problem:
        st.warning(plain(problem))
        return False
    return True


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


def draw_fed(views: Sequence[PageView]) -> None:
    """Show the input at each scale of a network without a decoder."""
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


def _bands(result: Reconstruction, model: str, look: Look, key: str) -> tuple[Panel, ...]:
    config = cached.reconstructor(model).band_config
    return band_panels(
        result, true_bands(result.target, config), true_bands(result.combined, config), look, key
    )
