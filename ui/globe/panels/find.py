"""The panel "Find": search by words, picture, part of a tile, selection, examples or SQL condition."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas import SearchError
from core.atlas.search.neighbors import Neighbors, example_query, nearest, similarities
from core.geo import gazetteer
from core.viz.theme import HEAT, colour_map
from ui.globe import panel_api as api
from ui.globe.globe_state import globe_view
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels import find_filter, find_image, words
from ui.globe.panels.examples import Examples
from ui.shell import cached, state
from ui.shell.escaping import plain

COUNTS = (12, 24, 48, 96)
MAX_SELECTION = 20_000
IN_SELECTION = "In my selection"
_SEEN, _FLOWN_TO, _EXAMPLES, _KIND = (
    f"globe find {name}" for name in ("seen", "went", "examples", "kind of words")
)


@dataclass(frozen=True, eq=False)
class Query:
    """A search: a (d,) vector, its description, and rows to exclude from the results."""

    vector: NDArray[np.floating]
    words: str
    exclude: tuple[int, ...] = ()


def draw(context: PanelContext) -> None:
    """Let the user choose a kind of search and enter a query; show the results."""
    context.table.require_one_model()
    _restore()
    kind = st.segmented_control(
        "Search by",
        list(KINDS),
        format_func=lambda name: KINDS[name][0],
        required=True,
        key=state.widget("find kind", "place"),
        label_visibility="collapsed",
    )
    if kind == "filter":
        find_filter.draw(context)
        return
    if kind in ("selection", "part", "picture"):
        _note(f"{kind}:")
    query = KINDS[kind or "place"][1](context)
    if query is not None:
        _answer(context, query)


def _restore() -> None:
    """Apply a search from the address, written by a link or by another button."""
    text = api.panel_param("search")
    if text == state.recall(_SEEN, ""):
        return
    state.keep(_SEEN, text)
    kind, _, query = text.partition(":")
    if kind in words.KINDS:
        state.keep(_KIND, kind)
        kind = "place"
    if kind in KINDS:
        state.set_widget("find kind", kind)
        if kind in ("place", "filter"):
            state.set_widget(f"find {kind}", query)
            state.keep(_FLOWN_TO, (query, 0))


def _note(text: str) -> None:
    state.keep(_SEEN, text)
    api.set_panel_param("search", text)


def by_words(context: PanelContext) -> Query | None:
    """Search by a place, a class or a description; the row nearest to a place becomes the selected one."""
    text = st.text_input(
        "Town, country, coordinates, or a class of your labels",
        key=state.widget("find place", ""),
        placeholder="Timbuktu · 東京 · 46.5, 7.9 · 33°54'S 18°24'E",
        help=words.help_text(),
        max_chars=gazetteer.LONGEST,
    )
    if not text.strip():
        st.caption(
            "24,000 towns and all countries, in many languages and scripts, and the classes of your labels. "
            "The search is offline. Names: GeoNames, CC BY 4.0."
        )
        return None
    meant = words.meanings(context, text, 8)
    asked = state.recall(_KIND, "")
    at = next((n for n, one in enumerate(meant) if one.kind == asked), 0)
    if len(meant) > 1:
        titles = [one.title for one in meant]
        at = st.selectbox(
            "Which one?",
            range(len(meant)),
            at,
            format_func=lambda n: titles[n],
            key=f"find which {text} {asked}",
        )
    chosen = meant[at]
    query = words.query(context, chosen)
    if chosen.place is not None and state.recall(_FLOWN_TO, None) != (text, at):
        state.keep(_FLOWN_TO, (text, at))
        api.select_place(query.exclude[0], fly=False)
        api.fly_to(chosen.place.lon, chosen.place.lat, 3.0)
    _note(f"{chosen.kind}:{text}")
    st.caption(plain(query.note))
    return Query(query.vector, query.title, query.exclude)


def by_selection(context: PanelContext) -> Query | None:
    """Search by the rows inside the lasso or box."""
    if not len(context.selected):
        has_selection = globe_view().selection is not None
        st.info(
            "Your selection contains no places. Draw a larger one."
            if has_selection
            else "Draw a lasso or a box on either map to search for places similar to those inside.",
            icon=":material/lasso_select:",
        )
        return None
    rows = context.selected[context.table.stored.usable[context.selected]]
    if not len(rows):
        raise SearchError("No place in your selection has a usable vector. Draw another selection.")
    shown = rows if len(rows) <= MAX_SELECTION else rows[:: len(rows) // MAX_SELECTION + 1]
    return Query(
        example_query(context.table, shown.tolist()),
        f"the {len(rows):,} places of your selection",
        tuple(rows.tolist()),
    )


def by_part(context: PanelContext) -> Query | None:
    """Search by a part of the selected tile."""
    found = find_image.part(context)
    return None if found is None else Query(*found)


def by_picture(context: PanelContext) -> Query | None:
    """Search by an uploaded picture."""
    found = find_image.picture(context)
    return None if found is None else Query(*found)


def by_examples(context: PanelContext) -> Query | None:
    """Search by positive and negative examples."""
    examples = _examples(context)
    place = context.place
    _note(examples.to_text())
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for sign, words, icon in (
            ("+", "More like the selected place", ":material/thumb_up:"),
            ("-", "Less like it", ":material/thumb_down:"),
        ):
            if (
                st.button(plain(words), icon=icon, disabled=place is None, key=f"find example {sign}")
                and place is not None
            ):
                _search_by(examples.with_row(context.identity(place), sign))
        if st.button(
            "Clear",
            icon=":material/clear_all:",
            disabled=not examples.more + examples.less,
            key="find example clear",
        ):
            _search_by(Examples())
    rows = [context.table.row_of(name) for name in (*examples.more, *examples.less)]
    if not rows:
        st.info(
            "Click a point, then ask for more or less like it. You can refine the search under each result.",
            icon=":material/thumbs_up_down:",
        )
        return None
    captions = ["more"] * len(examples.more) + ["less"] * len(examples.less)
    drop = ("Remove", lambda row: _search_by(examples.without(context.identity(row))))
    clicked = api.picture_strip(context, rows, captions, key="find examples", actions=[drop])
    if clicked is not None:
        api.select_place(clicked)
    more, less = rows[: len(examples.more)], rows[len(examples.more) :]
    return Query(
        example_query(context.table, more, less),
        f"{len(more)} places, unlike {len(less)}" if less else f"{len(more)} places",
        tuple(rows),
    )


def _examples(context: PanelContext) -> Examples:
    """Return the examples in the address, or those of this session."""
    text = api.panel_param("search")
    return Examples.from_text(
        text if text.startswith("rows:") else state.recall(_EXAMPLES, ""), context.table
    )


def _search_by(examples: Examples) -> None:
    """Write examples to the address and search by them."""
    state.keep(_EXAMPLES, examples.to_text())
    api.set_panel_param("search", examples.to_text())
    api.take_rerun_request()
    st.rerun()


def _answer(context: PanelContext, query: Query) -> None:
    """Show the rows most similar to a query as pictures, rings, colours and a CSV download."""
    one, two, three, four = st.columns([1, 1.3, 1.2, 1.5], vertical_alignment="bottom")
    count = one.selectbox("Results", COUNTS, key=state.widget("find count", COUNTS[0]))
    diversity = two.slider(
        "Diversity",
        0.0,
        0.9,
        step=0.1,
        key=state.widget("find diversity", 0.0),
        help="0 gives the most similar places. Higher values give places that also differ from each other.",
    )
    limits = {
        "Everywhere": None,
        **({IN_SELECTION: context.selected} if len(context.selected) else {}),
        **find_filter.limit(context),
    }
    among = three.selectbox("Where", list(limits), key="find among")
    heat = four.toggle("Colour the maps by similarity", key=state.widget("find heat", True))
    inside = limits[among]
    allowed = None
    if inside is not None:
        allowed = np.zeros(len(context.table), bool)
        allowed[inside] = True
    exclude = () if among == IN_SELECTION else query.exclude
    found = nearest(context.table, query.vector, count, exclude=exclude, among=allowed, diversity=diversity)
    if heat:
        api.show_layer(_similarity(context, query))
    api.ring_rows(found.rows.tolist())
    st.markdown(f"## Most similar to {plain(query.words)}")
    captions = [
        f"{score:.3f}{' · the same' if same else ''}"
        for score, same in zip(found.similarity, found.duplicate, strict=True)
    ]
    clicked = api.picture_strip(
        context, found.rows.tolist(), captions, key="find found", actions=_actions(context)
    )
    same = int(found.duplicate.sum())
    doubled = f" {same} of them are duplicates of the query or of a better result." if same else ""
    st.caption(
        f"The numbers are cosine similarities. Yellow rings mark the places on the maps.{doubled} "
        f"{plain(found.note)}"
    )
    st.download_button(
        "CSV",
        lambda: table_of(context, found),
        "found.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="find csv",
    )
    if clicked is not None:
        api.select_place(clicked)


def _actions(context: PanelContext) -> list[tuple[str, Callable[[int], None]]]:
    """Return the buttons under each picture: more like it, less like it."""

    def act(sign: str) -> Callable[[int], None]:
        return lambda row: _search_by(_examples(context).with_row(context.identity(row), sign))

    return [("More", act("+")), ("Less", act("-"))]


def _similarity(context: PanelContext, query: Query) -> Layer:
    """Return a layer of similarity to a query, cached for equal queries."""

    def make() -> Layer:
        values = similarities(context.table, query.vector).copy()
        values[~context.table.stored.usable] = np.nan
        low, high = (float(v) for v in np.nanpercentile(values, [40, 99.9]))
        note = f"Cosine similarity to {query.words}. Brighter is more similar."
        return Layer(
            "Similarity to your search",
            values=values,
            palette=colour_map(HEAT),
            note=note,
            limits=(low, max(high, low + 1e-6)),
        )

    return cached.result_cache("similarity to a query", 24).get_or_compute(
        (context.table.fingerprint, np.asarray(query.vector, np.float32).tobytes()), make
    )


def table_of(context: PanelContext, found: Neighbors) -> str:
    """Return the results as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["unique_id", "longitude", "latitude", "cosine", "duplicate"])
    for row, score, same in zip(
        found.rows.tolist(), found.similarity.tolist(), found.duplicate.tolist(), strict=True
    ):
        lon, lat = context.lonlat[row].tolist()
        writer.writerow([context.identity(row), f"{lon:.6f}", f"{lat:.6f}", f"{score:.6f}", same])
    return out.getvalue()


KINDS: dict[str, tuple[str, Callable[[PanelContext], Query | None]]] = {
    "place": (":material/travel_explore: Words or coordinates", by_words),
    "selection": (":material/lasso_select: My selection", by_selection),
    "part": (":material/grid_on: Part of a tile", by_part),
    "picture": (":material/upload: My picture", by_picture),
    "rows": (":material/thumbs_up_down: More like, less like", by_examples),
    "filter": (":material/filter_alt: Condition (SQL)", lambda _: None),
}
