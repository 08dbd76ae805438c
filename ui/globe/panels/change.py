"""The panel "Change": where the ground has changed between the open table and one of another date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from earth_mae_components import compare

from core.atlas import EmbeddingTable
from core.atlas.analysis.change import Change, change, dates_of, on_date
from core.atlas.analysis.match import FEWEST, pairs_of
from core.errors import ExplorerError
from core.viz.theme import HEAT, colour_map
from ui.globe import panel_api as api
from ui.globe import tables
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels.downloads import downloads
from ui.globe.rows import picture
from ui.shell import cached, state
from ui.shell.escaping import plain

SHOWN, MAX_TABLES = 16, 24
NONE = "none"
_WIPED = "globe change wiped"


@dataclass(frozen=True, eq=False)
class Pair:
    """The tables of the earlier and of the later date, with a name for the pair."""

    before: EmbeddingTable
    after: EmbeddingTable
    name: str


def draw(context: PanelContext) -> None:
    """Let the user choose the other date; show the most changed places, a wipe, a layer and downloads."""
    context.table.require_one_model()
    left, right = st.columns([1, 1.6], gap="large")
    with left:
        pair = _choose(context)
        if pair is None:
            return
        found = _change(pair, _reference(context, pair))
        rows = _rows_of_context(context, pair, found)
        score = _values(len(context.table), rows, found.score)
        _summary(pair, found)
        api.offer_layer(_layer(score, found))
        columns = {"change": score}
        if found.percentile is not None:
            columns["percentile"] = _values(len(context.table), rows, found.percentile)
        st.markdown("**Download**")
        downloads(context, "change", columns, columns, {"compared": pair.name}, key="change")
    with right:
        _most_changed(context, pair, found, rows)


def _choose(context: PanelContext) -> Pair | None:
    """Let the user choose two dates of this table, or another table of the same ground and model."""
    days = list(dates_of(context.table))
    others = _others(context)
    options = [*(["Two dates of this table"] if len(days) > 1 else []), *others]
    if not options:
        st.info(
            "To see change, open a table of one date here, and have a second one of the same ground from "
            "another date: embed both scenes with the same model, scale and tile size, cropped to the same "
            "extent. A table that holds two dates works too, as does `python -m core change`.",
            icon=":material/compare_arrows:",
        )
        return None
    name = st.selectbox("Compare with", options, format_func=plain, key="change with")
    if name in others:
        other = others[name]
        swapped = st.toggle("The other table is the earlier one", key="change swapped")
        one, two = (other, context.table) if swapped else (context.table, other)
        return Pair(one, two, f"{context.name} and {name}")
    first = st.selectbox("Before", days[:-1], format_func=plain, key="change before") or days[0]
    later = [day for day in days if day > first]
    last = st.selectbox("After", later, len(later) - 1, format_func=plain, key=f"change after {first}")
    return Pair(
        on_date(context.table, first), on_date(context.table, last or later[-1]), f"{first} and {last}"
    )


def _others(context: PanelContext) -> dict[str, EmbeddingTable]:
    """Return the other tables with the model of this one that share at least three places with it."""
    found: dict[str, EmbeddingTable] = {}
    for name, path in list(tables.available_tables().items())[:MAX_TABLES]:
        if name == context.name:
            continue
        other = _same_model(context, path)
        if other is not None and _shared(context, other) >= FEWEST:
            found[name] = other
    return found


def _same_model(context: PanelContext, path: Path) -> EmbeddingTable | None:
    try:
        table = tables.table_at(path)
        model = context.table.models[0]
        if model not in table.models:
            return None
        rows = tables.rows_of(table, model, 0.0) if len(table.models) > 1 else None
        return table if rows is None else table.take(rows)
    except ExplorerError:
        return None


def _shared(context: PanelContext, other: EmbeddingTable) -> int:
    """Count the places that both tables hold, once for all users."""
    return cached.result_cache("shared places", 64).get_or_compute(
        (context.table.fingerprint, other.fingerprint, "change"),
        lambda: len(pairs_of(context.table, other).a),
    )


def _reference(context: PanelContext, pair: Pair) -> tuple[EmbeddingTable, EmbeddingTable] | None:
    """Let the user correct for the season: by this pair, or by one without change between its dates."""
    others = {context.name: context.table, **_others(context)}
    if st.toggle(
        "Most of the ground is unchanged",
        key="change season",
        help="Scores then say how far a place moved beyond what season and light did to all.",
    ):
        return pair.before, pair.after
    if len(others) < 3:
        return None
    with st.expander("Correct for the season by other tables", icon=":material/partly_cloudy_day:"):
        st.caption("Two tables of the same seasons between which nothing changed.")
        first = st.selectbox("Reference, before", [NONE, *others], format_func=plain, key="change reference")
        second = st.selectbox(
            "Reference, after", [NONE, *others], format_func=plain, key="change reference after"
        )
    if NONE in (first, second) or first == second or first is None or second is None:
        return None
    return others[first], others[second]


def _change(pair: Pair, reference: tuple[EmbeddingTable, EmbeddingTable] | None) -> Change:
    """Score the change, once for all users."""
    key = (pair.before.fingerprint, pair.after.fingerprint, *(each.fingerprint for each in reference or ()))
    return cached.result_cache("change", 8).get_or_compute(
        key, lambda: change(pair.before, pair.after, reference=reference)
    )


def _rows_of_context(context: PanelContext, pair: Pair, found: Change) -> np.ndarray:
    """Return the row shown on the maps for each pair."""
    if pair.before is context.table:
        return found.before
    if pair.after is context.table:
        return found.after
    ids = pair.before.columns["unique_id"].take(found.before).to_pylist()
    at = {identity: row for row, identity in enumerate(context.table.columns["unique_id"].to_pylist())}
    return np.array([at[identity] for identity in ids], np.int64)


def _values(length: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    whole = np.full(length, np.nan, np.float32)
    whole[rows] = values
    whole.flags.writeable = False
    return whole


def _layer(score: np.ndarray, found: Change) -> Layer:
    top = float(np.quantile(found.score, 0.995))
    note = f"The {found.measure}; brighter changed more. Grey: not at both dates."
    return Layer("Change", values=score, palette=colour_map(HEAT), limits=(0.0, max(top, 1e-6)), note=note)


def _summary(pair: Pair, found: Change) -> None:
    st.markdown(
        f"**{len(found.score):,}** places of {plain(pair.name)}. The median {plain(found.measure)} is "
        f"**{np.median(found.score):.3f}**, the highest **{found.score.max():.3f}**."
    )
    if found.percentile is not None:
        st.caption(
            f"{(found.percentile >= 0.99).mean():.1%} of the places changed more than 99 % of the "
            "reference places."
        )
    st.caption(
        "A high score means that the network sees different ground. Clouds, snow, shadows and seasons count "
        "too: look at both pictures before you trust it."
    )


def _most_changed(context: PanelContext, pair: Pair, found: Change, rows: np.ndarray) -> None:
    """Show the most changed places, and both pictures of the chosen one to wipe between."""
    order = found.most_changed(SHOWN).tolist()
    held = state.recall(_WIPED, None)
    chosen = held[1] if held and held[0] == pair.name and held[1] < len(found.score) else order[0]
    before, after = (
        picture(pair.before, int(found.before[chosen])),
        picture(pair.after, int(found.after[chosen])),
    )
    st.markdown("## Before and after")
    compare(before, after, left_label="Before", right_label="After", max_width_px=360, key="change wipe")
    st.caption(
        f"The {plain(found.measure)} is {found.score[chosen]:.3f}. Drag the line, or use the arrow keys."
    )
    st.markdown("## Most changed")
    shown = [int(rows[at]) for at in order]
    clicked = api.picture_strip(context, shown, [f"{found.score[at]:.3f}" for at in order], key="change most")
    api.ring_rows(shown)
    if clicked is not None:
        state.keep(_WIPED, (pair.name, order[shown.index(clicked)]))
        api.select_place(clicked)
        api.request_rerun()
