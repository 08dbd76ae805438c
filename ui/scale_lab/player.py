"""The Animation tab of the Scale Lab: one scale at a time on a slider that plays by itself."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.engine.results import Reconstruction
from core.engine.scales import Scale
from core.judge import band_errors
from core.session import PageView
from core.units import metres
from core.viz.scales import look_of, row_panels
from core.viz.sheet import sheet
from ui.scale_lab.rows import NO_PICTURE
from ui.shell import state

SECONDS = 1.0
"""How long each scale is shown."""
_AT, _PLAYING = "scale shown", "scales playing"


def play(scales: Sequence[Scale], _views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Show visible patches and reconstruction of one scale large; play through all scales."""
    if not rows:
        st.info(NO_PICTURE)
        return
    every = SECONDS if state.recall(_PLAYING, False) else None
    st.fragment(_one_scale, run_every=every)(scales, rows)


def _one_scale(scales: Sequence[Scale], rows: Sequence[Reconstruction]) -> None:
    count, playing = len(rows), state.recall(_PLAYING, False)
    at = state.recall(_AT, 0) % count
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button(
            "Pause" if playing else "Play",
            icon=":material/pause:" if playing else ":material/play_arrow:",
            key="play scales",
            on_click=state.keep,
            args=(_PLAYING, not playing),
        ):
            st.rerun()  # the whole page, which starts or ends the timer
        if playing:
            at = (at + 1) % count
            state.set_widget(_AT, at)
        at = st.select_slider(
            "Ground sample distance as fed",
            range(count),
            format_func=lambda n: metres(scales[n].gsd_m) + (" (own scale)" if scales[n].own else ""),
            key=state.widget(_AT, at),
        )
    state.keep(_AT, at)
    own = next((row for row, scale in zip(rows, scales, strict=True) if scale.own), rows[0])
    errors = band_errors(rows[at])
    seen, low, high, combined, error = row_panels(
        rows[at], look_of(own), "played", errors["combined"] if errors else None
    )
    st.html(sheet([seen, combined, low, high, error], large=2, abreast=3))
