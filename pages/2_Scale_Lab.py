"""Scale Lab: one place at several ground sample distances, and how a network reconstructs and embeds each."""

from dataclasses import replace

import streamlit as st

from ui.learn.tour import tour
from ui.pickers import page_view
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import page, pictures_and_controls

with page(
    "Scale Lab",
    "One place at several ground sample distances, side by side: how does scale affect a masked autoencoder?",
    linked=True,
):
    from core.engine.results import Reconstruction
    from core.errors import ExplorerError
    from core.units import metres
    from core.viz.maps import scale_bar
    from core.viz.scales import Look, look_of
    from ui.mask_lab import lab
    from ui.scale_lab import sections
    from ui.scale_lab.choices import scale_controls, scales_of, views_of
    from ui.scale_lab.patches import patches
    from ui.scale_lab.rows import draw_fed, draw_row, draw_waiting

    tour("Scale Lab")
    view = page_view.current_view(unused=(), tabs=sections.TABS)
    pictures, inspector = pictures_and_controls()
    with inspector:
        choices = scale_controls(view)
        st.divider()
        view = replace(page_view.edit(view, encoders=True), selection=choices.to_text())
        card = cached.card_of(view.model)
        similar_share = lab.dropper(view)
    with pictures:
        view = replace(view, mask=lab.paint(view, similar_share))
        state.publish(view)  # before the tabs: they write to the address themselves
        scales = scales_of(view, choices, card)
        views = views_of(view, scales)
        own = next(n for n, scale in enumerate(scales) if scale.own)
        if len(scales) < choices.count:
            st.caption(
                f"Only {len(scales)} different scales are possible here, not {choices.count:,}: "
                "each must be a whole number of patches, and the source has no finer pixels."
            )
        rows: dict[int, Reconstruction] = {}
        readable: list[int] = []
        look: Look | None = None
        places = [st.empty() for _ in scales]
        if card.reconstructs and not state.recall("scale rows drawn", False):
            for place, scale in zip(places, scales, strict=True):
                with place.container():
                    draw_waiting(scale)
        bar = st.progress(0.0)
        order = [own, *(n for n in range(len(scales)) if n != own)]
        if not card.reconstructs:
            readable, order = draw_fed(views), []
        for done, (n, result) in enumerate(
            cached.reconstructions([views[n] for n in order], state.session_id()), 1
        ):
            at = order[n]
            bar.progress(done / len(scales), f"{done} of {len(scales)} scales")
            if isinstance(result, ExplorerError):
                places[at].warning(f"{metres(scales[at].gsd_m)}: {plain(result)}")
                continue
            look = look or look_of(result)
            rows[at] = result
            with places[at].container():
                draw_row(result, view.model, look, f"scale-{at}", rows.get(own), bands=bool(choices.band))
        bar.empty()
        state.keep("scale rows drawn", bool(rows))
        if look:
            st.html(scale_bar(look.full, "absolute error, the same scale in every row"))
        if card.two_bands:
            st.caption(
                "The decoder outputs twice as many pixels a side as the input, but its positional encoding "
                "uses the input's res only. The released code computes an encoding for the target's "
                "resolution and never uses it, so the target's scale has no effect here."
            )
        if own in rows:
            lab.recipe(rows[own])
    if readable := readable or sorted(rows):
        tabs = st.tabs(sections.TABS, key="tab", bind="query-params")
        shown = (
            [scales[n] for n in readable],
            [views[n] for n in readable],
            [rows[n] for n in readable if n in rows],
        )
        for tab, draw in zip(
            tabs[:3], (sections.curves, sections.sensitivity, sections.spectra), strict=True
        ):
            if tab.open:
                with tab:
                    draw(*shown)
        if tabs[3].open:
            with tabs[3]:
                patches(view, choices)
