"""Scale Lab: one place at several ground sample distances, and how a network reconstructs and embeds each."""

from dataclasses import replace

import streamlit as st

from ui.learn.tour import tour
from ui.pickers import page_view
from ui.shell import cached, state
from ui.shell.page import page, pictures_and_controls

with page(
    "Scale Lab",
    "One place at several ground sample distances, side by side: how does scale affect a masked autoencoder?",
    linked=True,
):
    from ui.mask_lab import lab
    from ui.scale_lab import sections
    from ui.scale_lab.choices import scale_controls, scales_of, views_of
    from ui.scale_lab.patches import patches
    from ui.scale_lab.player import play
    from ui.scale_lab.rows import draw_rows, reconstructed

    tour("Scale Lab")
    view = page_view.current_view(unused=(), tabs=sections.TABS)
    pictures, inspector = pictures_and_controls()
    with inspector:
        choices = scale_controls(view)
        view = replace(page_view.edit(view, encoders=True), selection=choices.to_text())
        card = cached.card_of(view.model)
        similar_share = lab.dropper(view)
    with pictures:
        view = replace(view, mask=lab.paint(view, similar_share))
        state.publish(view)  # before the tabs: they write to the address themselves
        scales = scales_of(view, choices, card)
        views = views_of(view, scales)
        if len(scales) < choices.count:
            st.caption(
                f"Only {len(scales)} different scales are possible here, not {choices.count:,}: "
                "each must be a whole number of patches, and the source has no finer pixels."
            )
        lab.tools()
        tabs = dict(zip(sections.TABS, st.tabs(sections.TABS, key="tab", bind="query-params"), strict=True))
        opened = next((name for name, tab in tabs.items() if tab.open), sections.TABS[0])
        with tabs[opened]:
            if opened == "Rows":
                draw_rows(view, scales, views, bands=bool(choices.band))
            elif opened == "Patches":
                patches(view, choices)
            else:
                rows, readable = reconstructed(scales, views)
                shown = [scales[n] for n in readable], [views[n] for n in readable], [*rows.values()]
                draw = {
                    "Animation": play,
                    "Curves": sections.curves,
                    "Sensitivity to the scale input": sections.sensitivity,
                    "Spectrum": sections.spectra,
                }[opened]
                if readable:
                    draw(*shown)
