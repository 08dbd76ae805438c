"""The panel "Groups": the table in groups with the tiles that stand for each, and its strangest places."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core.atlas.analysis.cluster import CANDIDATES, Clusters
from core.atlas.analysis.outliers import Outliers, outliers_by_density, outliers_by_loss
from core.viz.theme import CLASSES, HEAT, colour_map
from ui.globe import desk as ask
from ui.globe.desk import Desk, Layer
from ui.globe.map.colour import clusters
from ui.globe.panels.takeaway import downloads
from ui.shell import cached, state
from ui.shell.escaping import plain

SHOWN, TYPICAL = 24, 6
MOST_GROUPS = 24
AUTOMATIC = 0
WAYS = {
    "groups": "Groups", "both": "Strange: reconstruction loss", "low": "Strange: low frequencies", "high": "Strange: high frequencies",
    "density": "Strange: unlike everything",
}  # fmt: skip
BANDS: dict[str, Any] = {"both": "both", "low": "low", "high": "high"}


def draw(desk: Desk) -> None:
    """Choose between groups and strange places; a link restores which."""
    desk.table.require_one_model()
    way, count = _said(ask.noted("groups"))
    ways = [name for name in WAYS if name not in BANDS or _has_losses(desk, name)]
    left, right = st.columns([2.2, 1], vertical_alignment="bottom")
    way = left.segmented_control(
        "Show", ways, format_func=WAYS.__getitem__, required=True, key=state.widget("groups way", way if way in ways else "groups")
    ) or "groups"  # fmt: skip
    if way != "groups":
        ask.note("groups", way)
        _strange(desk, way)
        return
    options = [AUTOMATIC, *range(2, min(MOST_GROUPS, int(desk.table.stored.usable.sum())) + 1)]
    count = right.selectbox(
        "How many", options, key=state.widget("groups count", count if count in options else AUTOMATIC),
        format_func=lambda n: "found by silhouette" if n == AUTOMATIC else str(n),
    )  # fmt: skip
    ask.note("groups", f"groups {count}" if count else "groups")
    with st.spinner("Grouping", show_time=True):
        found = clusters(desk.table, count or None)
    _groups(desk, found, automatic=not count)


def _said(text: str) -> tuple[str, int]:
    """Read what the address says: a way to look, and a number of groups."""
    way, _, number = text.partition(" ")
    return way, int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else AUTOMATIC


def _groups(desk: Desk, found: Clusters, *, automatic: bool) -> None:
    """Every group: its colour, its share, its most typical tiles."""
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=found.k)
    names = tuple(f"Group {n + 1}" for n in range(found.k))
    layer = Layer(
        "Groups",
        categories=found.labels,
        names=names,
        note="k-means on the vectors; the largest group comes first.",
    )
    ask.paint_on_request(layer, family=tuple(WAYS.values()))
    ask.ring([])
    if automatic:
        tried = ", ".join(str(k) for k in CANDIDATES if k in found.silhouette)
        st.caption(
            f"**{found.k:,} groups** have the best silhouette ({found.silhouette[found.k]:.2f} of at most 1); tried: {tried}."
        )
    for n, name in enumerate(names):
        st.html(
            f'<div style="border-left:6px solid {CLASSES[n % len(CLASSES)]};padding-left:10px"><b>{name}</b> '
            f'<span style="opacity:.7">{sizes[n]:,} places, {sizes[n] / max(sizes.sum(), 1):.1%}</span></div>'
        )
        rows = list(found.representatives[n][:TYPICAL])
        clicked = ask.pictures(desk, rows, ["most typical", *["typical"] * (len(rows) - 1)], key=f"group {n}")
        if clicked is not None:
            ask.choose(clicked)
    st.caption("Pictures: the tiles nearest to each group's centre. Click one to make it the place in hand.")
    labels = found.labels.astype(np.int32)
    downloads(
        desk,
        "groups",
        {"group": labels + 1},
        {"group": np.where(labels < 0, np.nan, labels + 1)},
        {"groups": found.k},
        key="groups",
    )


def _strange(desk: Desk, way: str) -> None:
    """The strangest places by one measure, and the Earth coloured by it."""
    with st.spinner("Looking for what is strange", show_time=True):
        found = outliers(desk, way)
    limits = (float(np.nanpercentile(found.score, 50)), float(np.nanpercentile(found.score, 99.8)))
    note = f"Light is strange: {found.meaning}."
    layer = Layer(WAYS[way], values=found.score, palette=colour_map(HEAT), note=note, limits=limits)
    ask.paint_on_request(layer, family=tuple(WAYS.values()))
    rows = found.rows[:SHOWN].tolist()
    ask.ring(rows)
    clicked = ask.pictures(desk, rows, [f"{found.score[row]:.3g}" for row in rows], key=f"strange {way}")
    st.caption(
        f"The strangest first; the number: {plain(found.meaning)}. They carry yellow rings on the maps."
    )
    if way in BANDS:
        st.caption(
            "A network that has seen much of a kind of ground imagines it well: what it cannot imagine is rare, damaged, clouded, or plain noise."
        )
    downloads(
        desk,
        f"strange {way}",
        {"score": found.score},
        {"score": found.score},
        {"score": found.meaning},
        key="strange",
    )
    if clicked is not None:
        ask.choose(clicked)


def outliers(desk: Desk, way: str) -> Outliers:
    """The strangest rows of the table, computed once for all users."""

    def find() -> Outliers:
        found = (
            outliers_by_density(desk.table, SHOWN)
            if way == "density"
            else outliers_by_loss(desk.table, SHOWN, BANDS[way])
        )
        found.score.flags.writeable = False
        return found

    return cached.shelf("outliers", 16).once((desk.table.fingerprint, way), find)


def _has_losses(desk: Desk, way: str) -> bool:
    names = ("recon_loss_low", "recon_loss_high") if way == "both" else (f"recon_loss_{way}",)
    return all(desk.table.columns[name].null_count < len(desk.table) for name in names)
