"""The panel "Find": places by name, coordinates, picture, part of a tile, selection, examples or a condition on the columns."""

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
from core.geo.gazetteer import NamedPlace, find_places
from core.units import metres
from core.viz.theme import HEAT, colour_map
from ui.globe import panel_api as api
from ui.globe.globe_state import globe_view
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels import find_filter, find_image
from ui.globe.panels.examples import Examples
from ui.shell import cached, state
from ui.shell.escaping import plain

COUNTS = (12, 24, 48, 96)
MOST_OF_SELECTION = 20_000
FAR_KM = 500.0
IN_SELECTION = "In my selection"
_SEEN, _WENT, _EXAMPLES = "globe find seen", "globe find went", "globe find examples"


@dataclass(frozen=True, eq=False)
class Query:
    """What is searched for: a (d,) vector, what it is in words, and rows that are not answers."""

    vector: NDArray[np.floating]
    words: str
    exclude: tuple[int, ...] = ()


def draw(context: PanelContext) -> None:
    """Choose how to search, say for what, and show what was found."""
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
    """Take over a search that a link, or another strip's button, left in the address."""
    said = api.panel_param("search")
    if said == state.recall(_SEEN, ""):
        return
    state.keep(_SEEN, said)
    kind, _, what = said.partition(":")
    if kind in KINDS:
        state.set_widget("find kind", kind)
        if kind in ("place", "filter"):
            state.set_widget(f"find {kind}", what)
            state.keep(_WENT, (what, 0))


def _note(text: str) -> None:
    state.keep(_SEEN, text)
    api.set_panel_param("search", text)


def by_place(context: PanelContext) -> Query | None:
    """A name or coordinates; the row nearest to it becomes the place in hand."""
    left, right = st.columns(2, vertical_alignment="bottom")
    text = left.text_input(
        "Town, country or coordinates",
        key=state.widget("find place", ""),
        placeholder="Timbuktu · 東京 · 46.5, 7.9 · 33°54'S 18°24'E",
        max_chars=120,
    )
    if not text.strip():
        st.caption(
            "24,000 towns and all countries, in many languages and scripts; nothing is asked on the internet. Names: GeoNames, CC BY 4.0."
        )
        return None
    places = find_places(text)
    at = 0
    if len(places) > 1:
        at = right.selectbox(
            "Which one?", range(len(places)), format_func=lambda n: places[n].label, key=f"find which {text}"
        )
    place = places[at]
    row = context.table.nearest_place(place.lon, place.lat)
    if state.recall(_WENT, None) != (text, at):
        state.keep(_WENT, (text, at))
        api.select_place(row, fly=False)
        api.fly_to(place.lon, place.lat, 3.0)
    _note(f"place:{text}")
    st.caption(_distance(context, place, row))
    return Query(context.table.vectors_of([row])[0], f"the ground near {place.label}", (row,))


def _distance(context: PanelContext, place: NamedPlace, row: int) -> str:
    km = context.table.distance_km(row, place.lon, place.lat)
    far = " **That is far: this table may not cover the place.**" if km > FAR_KM else ""
    return f"{plain(place.label)}: the nearest row's centre lies {metres(1000 * km)} away.{far}"


def by_selection(context: PanelContext) -> Query | None:
    """What was drawn on either map."""
    if not len(context.selected):
        drawn = globe_view().selection is not None
        st.info(
            "Your selection holds no place: draw a larger one."
            if drawn
            else "Draw a lasso or a box on either map; then places like those inside are found.",
            icon=":material/lasso_select:",
        )
        return None
    rows = context.selected[context.table.stored.usable[context.selected]]
    if not len(rows):
        raise SearchError("No place of your selection has a usable vector: draw it elsewhere.")
    shown = rows if len(rows) <= MOST_OF_SELECTION else rows[:: len(rows) // MOST_OF_SELECTION + 1]
    return Query(
        example_query(context.table, shown.tolist()),
        f"the {len(rows):,} places of your selection",
        tuple(rows.tolist()),
    )


def by_part(context: PanelContext) -> Query | None:
    """A part of the place in hand."""
    found = find_image.part(context)
    return None if found is None else Query(*found)


def by_picture(context: PanelContext) -> Query | None:
    """An uploaded picture."""
    found = find_image.picture(context)
    return None if found is None else Query(*found)


def by_examples(context: PanelContext) -> Query | None:
    """More like these, less like those."""
    examples = _examples(context)
    place = context.place
    _note(examples.to_text())
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for sign, words, icon in (
            ("+", "More like the place in hand", ":material/thumb_up:"),
            ("-", "Less like it", ":material/thumb_down:"),
        ):
            if (
                st.button(plain(words), icon=icon, disabled=place is None, key=f"find example {sign}")
                and place is not None
            ):
                _exemplify(examples.with_row(context.identity(place), sign))
        if st.button(
            "Clear",
            icon=":material/clear_all:",
            disabled=not examples.more + examples.less,
            key="find example clear",
        ):
            _exemplify(Examples())
    rows = [context.table.row_of(name) for name in (*examples.more, *examples.less)]
    if not rows:
        st.info(
            "Click a point, then say whether you want more or less like it; under every picture found you can go on.",
            icon=":material/thumbs_up_down:",
        )
        return None
    captions = ["more"] * len(examples.more) + ["less"] * len(examples.less)
    drop = ("Drop", lambda row: _exemplify(examples.without(context.identity(row))))
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
    """The examples of this session, or those that the address names."""
    said = api.panel_param("search")
    return Examples.from_text(
        said if said.startswith("rows:") else state.recall(_EXAMPLES, ""), context.table
    )


def _exemplify(examples: Examples) -> None:
    """Keep examples in the address and search by them."""
    state.keep(_EXAMPLES, examples.to_text())
    api.set_panel_param("search", examples.to_text())
    api.take_rerun_request()
    st.rerun()


def _answer(context: PanelContext, query: Query) -> None:
    """The rows most like a query: pictures, rings, colours, a table to take away."""
    one, two, three, four = st.columns([1, 1.3, 1.2, 1.5], vertical_alignment="bottom")
    count = one.selectbox("How many", COUNTS, key=state.widget("find count", COUNTS[0]))
    diversity = two.slider(
        "Diversity", 0.0, 0.9, step=0.1, key=state.widget("find diversity", 0.0),
        help="0: the closest places, however alike among themselves. Higher: places that also differ from each other.",
    )  # fmt: skip
    limits = {
        "Everywhere": None,
        **({IN_SELECTION: context.selected} if len(context.selected) else {}),
        **find_filter.limit(context),
    }
    among = three.selectbox("Where", list(limits), key="find among")
    heat = four.toggle("Colour the Earth by likeness", key=state.widget("find heat", True))
    inside = limits[among]
    allowed = None
    if inside is not None:
        allowed = np.zeros(len(context.table), bool)
        allowed[inside] = True
    exclude = () if among == IN_SELECTION else query.exclude
    found = nearest(context.table, query.vector, count, exclude=exclude, among=allowed, diversity=diversity)
    if heat:
        api.show_layer(_likeness(context, query))
    api.ring_rows(found.rows.tolist())
    st.markdown(f"## Most like {plain(query.words)}")
    captions = [
        f"{score:.3f}{' · the same' if same else ''}"
        for score, same in zip(found.similarity, found.duplicate, strict=True)
    ]
    clicked = api.picture_strip(
        context, found.rows.tolist(), captions, key="find found", actions=_actions(context)
    )
    same = int(found.duplicate.sum())
    doubled = f" {same} of them equal the query or a better one, as the network sees it." if same else ""
    st.caption(
        f"The number is the cosine of the vectors; yellow rings on the maps.{doubled} {plain(found.note)}"
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
    """Under every picture: more like it, less like it."""

    def act(sign: str) -> Callable[[int], None]:
        return lambda row: _exemplify(_examples(context).with_row(context.identity(row), sign))

    return [("More", act("+")), ("Less", act("-"))]


def _likeness(context: PanelContext, query: Query) -> Layer:
    """Colours by likeness to a query; the same query gives the same layer."""

    def make() -> Layer:
        values = similarities(context.table, query.vector).copy()
        values[~context.table.stored.usable] = np.nan
        low, high = (float(v) for v in np.nanpercentile(values, [40, 99.9]))
        note = f"Cosine with {query.words}: light is alike."
        return Layer(
            "Likeness to your search",
            values=values,
            palette=colour_map(HEAT),
            note=note,
            limits=(low, max(high, low + 1e-6)),
        )

    return cached.shelf("likeness", 24).once(
        (context.table.fingerprint, np.asarray(query.vector, np.float32).tobytes()), make
    )


def table_of(context: PanelContext, found: Neighbors) -> str:
    """What was found, as CSV."""
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
    "place": (":material/travel_explore: Name or coordinates", by_place),
    "selection": (":material/lasso_select: My selection", by_selection),
    "part": (":material/grid_on: Part of a tile", by_part),
    "picture": (":material/upload: My picture", by_picture),
    "rows": (":material/thumbs_up_down: More like, less like", by_examples),
    "filter": (":material/filter_alt: Condition (SQL)", lambda _: None),
}
