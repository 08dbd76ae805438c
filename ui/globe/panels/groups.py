"""The panel "Groups": clusters of the table with typical tiles, and outliers."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import streamlit as st

from core.atlas.analysis.cluster import CANDIDATES, Clusters
from core.atlas.analysis.outliers import Outliers, outliers_by_density, outliers_by_loss
from core.viz.theme import CLASSES, HEAT, colour_map
from ui.globe import panel_api as api
from ui.globe.map.colour import clusters, names_of_groups
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels.downloads import downloads
from ui.shell import cached, state
from ui.shell.escaping import plain

SHOWN, TYPICAL = 24, 6
MAX_GROUPS = 24
AUTOMATIC = 0
VIEWS = {
    "groups": "Groups",
    "both": "Outliers: reconstruction loss",
    "low": "Outliers: low frequencies",
    "high": "Outliers: high frequencies",
    "density": "Outliers: distance to neighbours",
}
BANDS: dict[str, Any] = {"both": "both", "low": "low", "high": "high"}


def draw(context: PanelContext) -> None:
    """Let the user choose between groups and outliers; a link restores the choice."""
    context.table.require_one_model()
    shown, count = _parse_param(api.panel_param("groups"))
    options = [name for name in VIEWS if name not in BANDS or _has_losses(context, name)]
    left, right = st.columns([2.2, 1], vertical_alignment="bottom")
    shown = (
        left.segmented_control(
            "Show",
            options,
            format_func=VIEWS.__getitem__,
            required=True,
            key=state.widget("groups way", shown if shown in options else "groups"),
        )
        or "groups"
    )
    if shown != "groups":
        api.set_panel_param("groups", shown)
        _show_outliers(context, shown)
        return
    counts = [AUTOMATIC, *range(2, min(MAX_GROUPS, int(context.table.stored.usable.sum())) + 1)]
    count = right.selectbox(
        "Number of groups",
        counts,
        key=state.widget("groups count", count if count in counts else AUTOMATIC),
        format_func=lambda n: "automatic (silhouette)" if n == AUTOMATIC else str(n),
    )
    api.set_panel_param("groups", f"groups {count}" if count else "groups")
    with st.spinner("Grouping", show_time=True):
        found = clusters(context.table, count or None)
    _show_groups(context, found, automatic=not count)


def _parse_param(text: str) -> tuple[str, int]:
    """Parse the address parameter into what to show and a number of groups."""
    way, _, number = text.partition(" ")
    return way, int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else AUTOMATIC


def _show_groups(context: PanelContext, found: Clusters, *, automatic: bool) -> None:
    """Show each group with its colour, its share of the rows, and its most typical tiles."""
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=found.k)
    names = names_of_groups(context.table, found)
    layer = Layer(
        "Groups",
        categories=found.labels,
        names=names,
        note="k-means on the vectors, largest group first, named after the countries with most of its rows.",
    )
    api.offer_layer(layer, family=tuple(VIEWS.values()))
    api.ring_rows([])
    if automatic:
        tried = ", ".join(str(k) for k in CANDIDATES if k in found.silhouette)
        st.caption(
            f"**{found.k:,} groups** have the highest silhouette score ({found.silhouette[found.k]:.2f}, "
            f"maximum 1). Tried: {tried}."
        )
    for n, name in enumerate(names):
        st.html(
            f'<div style="border-left:6px solid {CLASSES[n % len(CLASSES)]};padding-left:10px">'
            f"<b>Group {escape(name)}</b> "
            f'<span style="opacity:.7">{sizes[n]:,} places, {sizes[n] / max(sizes.sum(), 1):.1%}</span></div>'
        )
        rows = list(found.representatives[n][:TYPICAL])
        clicked = api.picture_strip(
            context, rows, ["most typical", *["typical"] * (len(rows) - 1)], key=f"group {n}"
        )
        if clicked is not None:
            api.select_place(clicked)
    st.caption("The pictures are the tiles nearest to each group's centre. Click one to select it.")
    if found.fitted < sizes.sum():
        st.caption(
            f"The centres were fitted on a random {found.fitted:,} of the {int(sizes.sum()):,} places. "
            "Then each place was put into the group with the nearest centre."
        )
    labels = found.labels.astype(np.int32)
    downloads(
        context,
        "groups",
        {"group": labels + 1},
        {"group": np.where(labels < 0, np.nan, labels + 1)},
        {"groups": found.k},
        key="groups",
    )


def _show_outliers(context: PanelContext, measure: str) -> None:
    """Show the outliers by one measure, and offer to colour the maps by it."""
    with st.spinner("Finding outliers", show_time=True):
        found = outliers(context, measure)
    limits = (float(np.nanpercentile(found.score, 50)), float(np.nanpercentile(found.score, 99.8)))
    note = f"Brighter is more unusual: {found.meaning}."
    layer = Layer(VIEWS[measure], values=found.score, palette=colour_map(HEAT), note=note, limits=limits)
    api.offer_layer(layer, family=tuple(VIEWS.values()))
    rows = found.rows[:SHOWN].tolist()
    api.ring_rows(rows)
    clicked = api.picture_strip(
        context, rows, [f"{found.score[row]:.3g}" for row in rows], key=f"outliers {measure}"
    )
    st.caption(f"Most unusual first, with their {plain(found.meaning)}. Yellow rings mark them on the maps.")
    if measure in BANDS:
        st.caption(
            "A network reconstructs well what it has often seen. A high loss means rare ground, clouds, "
            "damaged pixels or noise."
        )
    downloads(
        context,
        f"outliers {measure}",
        {"score": found.score},
        {"score": found.score},
        {"score": found.meaning},
        key="outliers",
    )
    if clicked is not None:
        api.select_place(clicked)


def outliers(context: PanelContext, measure: str) -> Outliers:
    """Return the outliers of the table, computed once for all users."""

    def find() -> Outliers:
        found = (
            outliers_by_density(context.table, SHOWN)
            if measure == "density"
            else outliers_by_loss(context.table, SHOWN, BANDS[measure])
        )
        found.score.flags.writeable = False
        return found

    return cached.result_cache("outliers", 16).get_or_compute((context.table.fingerprint, measure), find)


def _has_losses(context: PanelContext, measure: str) -> bool:
    names = ("recon_loss_low", "recon_loss_high") if measure == "both" else (f"recon_loss_{measure}",)
    return all(context.table.columns[name].null_count < len(context.table) for name in names)
