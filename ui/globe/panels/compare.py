"""The panel "Compare": two networks on the same places, with a second pair of maps, and their agreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st
from earth_mae_components import Legend, Ring, Selection, contains, encode_points, globe_news, linked_globe
from numpy.typing import NDArray

from core.atlas.analysis.match import FEWEST, SamePlaces, pairs_of, same_places
from core.atlas.search.neighbors import nearest
from core.errors import ExplorerError
from core.evaluation.protocols.agreement import linear_cka, neighbour_overlap
from core.viz.theme import VIRIDIS, colour_map
from ui.globe import panel_api as api
from ui.globe import tables
from ui.globe.globe_state import globe_view, set_globe_view
from ui.globe.map import linked_maps
from ui.globe.map.colour import encode
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels.downloads import downloads
from ui.globe.tables import MapData
from ui.shell import cached
from ui.shell.escaping import plain

NEIGHBOURS, SHOWN, STRIP = 20, 8, 8
MAX_PLACES, MAX_NAMED = 12_000, 6
SECOND, SECOND_PX = "twin", 420


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two tables: `pairs` of rows, `overlap` (m,) of neighbours, linear CKA, a layer (n,)."""

    pairs: SamePlaces
    overlap: NDArray[np.float64]
    cka: float
    layer: Layer
    shared: int


def draw(context: PanelContext) -> None:
    """Let the user choose the other table; show both and where they disagree."""
    other = _choose(context)
    if other is None:
        return
    with st.spinner("Comparing neighbours", show_time=True):
        found = agreement(context, other)
    api.offer_layer(found.layer)
    left, right = st.columns([1, 1.35], gap="large")
    with left:
        st.markdown(sentence(context, other, found))
        _extremes(context, found)
    with right:
        _second_maps(context, other, found)
    if context.place is not None:
        _neighbours_of_both(context, other, found, context.place)
    values = found.layer.values
    assert values is not None
    columns = {"neighbour_overlap": values}
    downloads(
        context,
        "agreement",
        columns,
        columns,
        {"compared_with": " and ".join(other.table.models), "neighbours": NEIGHBOURS},
        key="compare",
    )


def _choose(context: PanelContext) -> MapData | None:
    """Return the table, or another model of this table, to compare with; show a hint if there is none."""
    known, here = tables.available_tables(), " and ".join(context.table.models)
    every = {
        f"{model} · {name}": (name, model)
        for name in known
        for model in _models(known[name])
        if (name, model) != (context.name, here)
    }
    choices = {
        label: one for label, one in every.items() if _shared(context, known[one[0]], one[1]) >= FEWEST
    }
    apart = [label for label in every if label not in choices]
    why = (
        "Not listed because they share fewer than three places at the same scale with this table: "
        f"{', '.join(apart[:MAX_NAMED])}."
        if apart
        else ""
    )
    if not choices:
        st.info(
            "To compare two networks, embed the same imagery with each, at the same scale. **My imagery** "
            f"accepts several models at once, and so does `python -m core embed --model A B`. {plain(why)}",
            icon=":material/compare:",
        )
        return None
    linked = api.panel_param("with")
    labels = sorted(
        choices, key=lambda label: choices[label][1] == here
    )  # other networks first, then other tables of the same network
    name = st.selectbox(
        f"Compare {plain(here)} with",
        labels,
        labels.index(linked) if linked in labels else 0,
        key=f"compare with {linked}",
    )
    if why:
        st.caption(plain(why))
    api.set_panel_param("with", name)
    table, model = choices[name]
    return tables.map_data(known[table], model)


def _shared(context: PanelContext, path: Path, model: str) -> int:
    """Count the places shared by the open table and one model of another, once for all users."""
    other = tables.table_at(path)

    def count() -> int:
        rows = tables.rows_of(other, model, 0.0)
        return len(pairs_of(context.table, other if rows is None else other.take(rows)).a)

    return cached.result_cache("shared places", 64).get_or_compute(
        (context.table.fingerprint, other.fingerprint, model), count
    )


def _models(path: Path) -> tuple[str, ...]:
    """Return the models of a table; () if it cannot be opened."""
    try:
        return tables.table_at(path).models
    except ExplorerError:
        return ()


def agreement(context: PanelContext, other: MapData) -> Agreement:
    """Pair the places of two tables and compare their neighbours, once for all users.

    Raises TableError for too few places.
    """

    def find() -> Agreement:
        pairs = same_places(context.table, other.table)
        shared = len(pairs.a)
        if shared > MAX_PLACES:
            keep = np.sort(np.random.default_rng(0).choice(shared, MAX_PLACES, replace=False))
            pairs = SamePlaces(pairs.a[keep], pairs.b[keep])
        k = min(NEIGHBOURS, len(pairs.a) - 1)
        one, two = context.table.unit_rows(pairs.a), other.table.unit_rows(pairs.b)
        overlap = neighbour_overlap(one, two, k)
        values = np.full(len(context.table), np.nan, np.float32)
        values[pairs.a] = overlap
        values.flags.writeable = False
        note = f"Share of {k} nearest neighbours that both networks have in common. Grey: not in both tables."
        layer = Layer(
            "Agreement of neighbours",
            values=values,
            palette=colour_map(VIRIDIS),
            note=note,
            limits=(0.0, max(0.2, float(overlap.max()))),
        )
        return Agreement(pairs, overlap, linear_cka(one, two), layer, shared)

    return cached.result_cache("agreement", 8).get_or_compute(
        (context.table.fingerprint, other.table.fingerprint), find
    )


def sentence(context: PanelContext, other: MapData, found: Agreement) -> str:
    """Summarize the comparison in a sentence."""
    m = len(found.pairs.a)
    k = min(NEIGHBOURS, m - 1)
    sampled = f" (a sample of {m:,} was compared)" if found.shared > m else ""
    return (
        f"**{found.overlap.mean():.0%}** of a place's {k} nearest places are the same for "
        f"{plain(' and '.join(context.table.models))} and for "
        f"{plain(' and '.join(other.table.models))}, on average over {found.shared:,} shared "
        f"places{sampled}; two unrelated networks would "
        f"share {k / (m - 1):.1%}. Linear CKA: **{found.cka:.2f}** (maximum 1)."
    )


def _extremes(context: PanelContext, found: Agreement) -> None:
    """Show the places where the two networks agree least and most."""
    order = np.argsort(found.overlap, kind="stable")
    for words, rows in (("Least agreement", order[:SHOWN]), ("Most agreement", order[::-1][:SHOWN])):
        st.markdown(f"## {plain(words)}")
        shown = found.pairs.a[rows].tolist()
        clicked = api.picture_strip(
            context, shown, [f"{found.overlap[row]:.0%}" for row in rows], key=f"compare {words}"
        )
        if clicked is not None:
            api.select_place(clicked)


def _second_maps(context: PanelContext, other: MapData, found: Agreement) -> None:
    """Show the other network's maps with the same colours, camera, selection and selected place."""
    st.markdown(f"## Second maps: {plain(' and '.join(other.table.models))}")
    a, b = found.pairs.a, found.pairs.b
    lonlat, plane = context.lonlat[a], other.plane[b]
    inside = np.isin(a, context.selected)
    values = (
        np.where(inside, found.overlap, np.nan).astype(np.float32)
        if inside.any()
        else found.overlap.astype(np.float32)
    )
    encoded = encode(replace(found.layer, values=values, note=""))
    points = cached.result_cache("twins", 8).get_or_compute(
        (context.table.fingerprint, other.table.fingerprint),
        lambda: encode_points(lonlat=lonlat if np.isfinite(lonlat).all(axis=1).any() else None, xy=plane),
    )
    events = globe_news(SECOND)
    points_url = linked_maps.asset_url("points", points, "twin points")
    if events.selection is not None and events.selected_on == points_url:
        _apply_selection(found, plane, events.selection)
    view = globe_view()
    rings = (
        [
            Ring(int(at), linked_maps.SELECTED_COLOUR, "selected place")
            for at in np.flatnonzero(a == context.place)
        ]
        if context.place is not None
        else []
    )
    linked_globe(
        points_url,
        colours_url=linked_maps.asset_url("colours", encoded.colours, "twin colours"),
        palette=encoded.palette,
        legend=Legend("Agreement of neighbours", (), encoded.legend.scale),
        basemap_url=linked_maps.asset_url("pictures", linked_maps.earth, "earth", "0.jpg"),
        selection=view.selection if view.selection is not None and view.selection.side == "globe" else None,
        camera=view.camera and replace(view.camera, x=None, y=None, plane_zoom=None),
        rings=rings,
        height_px=SECOND_PX,
        label=f"{len(a):,} shared places",
        report_camera=False,
        key=SECOND,
    )
    st.caption(
        "A lasso on either globe selects on both. With a selection, the second maps show only the selected "
        "places in colour."
    )


def _apply_selection(found: Agreement, plane: NDArray[np.float32], selection: Selection) -> None:
    """Apply what was selected on the second maps: a place, the page's selection, or rings around places."""
    a = found.pairs.a
    if selection.kind == "click":
        if selection.ids and selection.ids[0] < len(a):
            api.select_place(int(a[selection.ids[0]]), fly=False)
    elif selection.side == "globe" or selection.kind == "none":
        set_globe_view(replace(globe_view(), selection=None if selection.kind == "none" else selection))
        api.request_rerun()
    else:
        api.ring_rows(a[contains(selection.polygon, *plane.T)].tolist())


def _neighbours_of_both(context: PanelContext, other: MapData, found: Agreement, row: int) -> None:
    """Show the nearest neighbours of the selected place in each network."""
    at = np.flatnonzero(found.pairs.a == row)
    if not len(at):
        st.caption(
            "The selected place is not shared by both tables, or not in the sample. Click another one."
        )
        return
    a, b = found.pairs.a, found.pairs.b
    back = np.full(len(other.table), -1)
    back[b] = a
    among_a, among_b = np.zeros(len(context.table), bool), np.zeros(len(other.table), bool)
    among_a[a], among_b[b] = True, True
    most = min(STRIP, len(a) - 1)
    mine = nearest(context.table, context.table.vectors_of([row])[0], most, exclude=[row], among=among_a)
    its = int(b[at[0]])
    theirs = back[
        nearest(other.table, other.table.vectors_of([its])[0], most, exclude=[its], among=among_b).rows
    ]
    st.markdown(f"## Most similar to the selected place: {found.overlap[at[0]]:.0%} of its neighbours agree")
    for n, (name, rows, others) in enumerate(
        ((context.table.models, mine.rows, theirs), (other.table.models, theirs, mine.rows))
    ):
        st.caption(plain(" and ".join(name)))
        captions = ["both" if row in others else "only here" for row in rows]
        clicked = api.picture_strip(context, rows.tolist(), captions, key=f"compare beside {n}")
        if clicked is not None:
            api.select_place(clicked)
