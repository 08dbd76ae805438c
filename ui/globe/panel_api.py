"""What the Globe page passes to its panels, and what a panel may ask the page to do.

A panel is a module of `ui.globe.panels` with one function `draw(context)`. The page runs it in a fragment,
and only while its tab is open. A request (`show_layer`, `select_place`, `ring_rows`, `fly_to`,
`set_panel_param`) is stored, and after the panel has drawn, the whole page reruns with it. A request that
changes nothing is ignored, so a panel may repeat it in every run. Make requests while drawing, not in a
widget callback: a callback inside a fragment cannot rerun the page.

Row numbers refer to `context.table`, the rows shown: those of the chosen model and GSD in the open table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas import EmbeddingTable
from core.session import PageView
from ui.globe.globe_state import MAX_PARAM_CHARS, PANEL_PARAMS, GlobePageView, globe_view, set_globe_view
from ui.globe.rows import identity_of, picture_url
from ui.shell import cached, state
from ui.shell.escaping import plain

STRIP_CSS = """<style>
[class*="st-key-strip"] button[kind="tertiary"]{padding:0;min-height:0;border-radius:10px}
[class*="st-key-strip"] button[kind="tertiary"] p{font-size:.78rem;line-height:1.3;opacity:.85}
[class*="st-key-strip"] button[kind="tertiary"] img{display:block;width:104px;height:104px;max-height:none;
object-fit:cover;border-radius:10px;margin:0 0 4px;background:rgba(127,140,148,.15);transition:transform .12s}
[class*="st-key-strip"] button[kind="tertiary"]:hover img{transform:scale(1.04)}
</style>"""
MAX_RINGS = 200
_CONTEXT, _LAYER, _RINGS, _FLIGHT, _TABLES, _RERUN, _CLICKED_POINT, _SCROLLS = (
    f"globe {name}"
    for name in ("context", "layer", "rings", "flight", "tables", "rerun", "clicked point", "scrolls")
)


@dataclass(frozen=True, eq=False)
class PanelContext:
    """What the page shows in this run. Its arrays are shared by all users and read-only."""

    view: PageView
    """Model, mask, policy and tile, as on every page."""
    name: str
    """Name of the open table."""
    table: EmbeddingTable
    """The rows shown."""
    lonlat: NDArray[np.float32]
    """(n, 2) longitude and latitude in degrees; NaN for rows without a location."""
    plane: NDArray[np.float32]
    """(n, 2) coordinates in the 2-D projection; NaN for rows without a usable vector."""
    selected: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows inside the lasso or box, drawn on either map; may be empty."""
    place: int | None = None
    """The row of the selected place."""
    folder: Path | None = None
    """Where the open table is stored: a folder of shards, or one file."""
    whole: EmbeddingTable | None = None
    """The open table with the rows of all models and scales."""

    def identity(self, row: int) -> str:
        """Return the unique_id by which links name a row, or the row number if the table has none."""
        return identity_of(self.table, row)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """(n, d) unit vectors, computed once and cached.

        They take n x d x 4 bytes: prefer `core.atlas` functions on `table`.
        """
        table = self.table
        return cached.result_cache("globe units", 2).get_or_compute(
            table.fingerprint, lambda: _read_only(table.unit_rows(np.arange(len(table))))
        )


@dataclass(frozen=True, eq=False)
class Layer:
    """Colours for all rows, given in exactly one of three ways.

    `values` (n,) float32 for a continuous scale, `categories` (n,) int for one colour each, or `rgb` (n, 3)
    uint8. NaN values and negative categories are grey. `names` are the categories' names from 0 on; colours
    repeat when the palette has fewer entries. `palette` lists "#rrggbb" from low to high, or one for each
    category (None: the default). `limits` are the (low, high) ends of the scale (None: the 2nd and 98th
    percentiles). `note` is one line shown under the maps.
    """

    title: str
    values: NDArray[np.float32] | None = None
    categories: NDArray[np.integer[Any]] | None = None
    names: tuple[str, ...] = ()
    palette: tuple[str, ...] | None = None
    note: str = ""
    limits: tuple[float, float] | None = None
    rgb: NDArray[np.uint8] | None = None

    def of(self, rows: NDArray[np.int64] | None) -> Layer:
        """Return the layer of some rows (None: of all) with the same scale."""
        if rows is None:
            return self
        limits = self.limits
        if self.values is not None and limits is None and np.isfinite(self.values).any():
            low, high = np.nanpercentile(self.values, [2, 98]).tolist()
            limits = (low, high)
        taken = [None if array is None else array[rows] for array in (self.values, self.categories, self.rgb)]
        return replace(self, values=taken[0], categories=taken[1], rgb=taken[2], limits=limits)

    def same(self, other: object) -> bool:
        """Tell whether another layer looks the same."""
        if not isinstance(other, Layer):
            return False
        mine, theirs = (
            (layer.title, layer.names, layer.palette, layer.note, layer.limits) for layer in (self, other)
        )
        pairs = ((self.values, other.values), (self.categories, other.categories), (self.rgb, other.rgb))
        return mine == theirs and all(_equal(a, b) for a, b in pairs)


@dataclass(frozen=True)
class Flight:
    """A request to turn the globe to a point; each number is carried out once."""

    number: int
    lon: float
    lat: float
    zoom: float | None


def set_context(context: PanelContext) -> PanelContext:
    """Set the context that the requests of this run refer to; for the page only."""
    state.keep(_CONTEXT, context)
    return context


def show_layer(layer: Layer) -> None:
    """Colour all points by a layer.

    It stays in the "Colour by" list under its title until another layer replaces it.
    """
    if not layer.same(state.recall(_LAYER, None)):
        state.keep(_LAYER, layer)
        set_globe_view(replace(globe_view(), by="painted"))
        request_rerun()


def offer_layer(layer: Layer, *, family: Sequence[str] = ()) -> None:
    """Show a toggle that colours the maps by a layer, so that opening a panel alone changes no colours.

    While it is on, the maps follow the panel; `family` names the other layers that the panel offers in its
    place.
    """
    latest = shown_layer()
    is_on = globe_view().by == "painted" and latest is not None and latest.title in {layer.title, *family}
    if st.toggle("Colour the maps by this", value=is_on, key=f"colour the maps {layer.title} {is_on}"):
        show_layer(layer)
    elif is_on:
        colour_by("appearance")


def shown_layer() -> Layer | None:
    """Return the last layer that a panel showed."""
    return state.recall(_LAYER, None)


def select_place(row: int, *, fly: bool = True) -> None:
    """Select a place, as a click on it would; `fly` also turns the globe to it."""
    context: PanelContext | None = state.recall(_CONTEXT, None)
    if context is None:
        return
    identity = context.identity(row)
    if globe_view().place != identity:
        set_globe_view(replace(globe_view(), place=identity))
        request_rerun()
        if fly and np.isfinite(context.lonlat[row]).all():
            _set_flight(*context.lonlat[row].tolist(), None)


def ring_rows(rows: Sequence[int]) -> None:
    """Draw rings around at most 200 rows on both maps, such as neighbours; an empty list removes them."""
    context: PanelContext | None = state.recall(_CONTEXT, None)
    limited = tuple(int(row) for row in rows)[:MAX_RINGS]
    if context is not None and ringed_rows(context.table) != limited:
        state.keep(_RINGS, (context.table.fingerprint, limited))
        request_rerun()


def ringed_rows(table: EmbeddingTable) -> tuple[int, ...]:
    """Return the rows of a table that have rings."""
    fingerprint, rows = state.recall(_RINGS, ("", ()))
    return rows if fingerprint == table.fingerprint else ()


def fly_to(lon: float, lat: float, zoom: float | None = None) -> None:
    """Turn the globe to a point in degrees.

    Zoom 0 shows the whole Earth and each step doubles the scale (None: 2).

    Every call moves the globe, so call it when a button is pressed, not in every run.
    """
    _set_flight(lon, lat, zoom)
    request_rerun()


def last_flight() -> Flight | None:
    """Return the last request to turn the globe."""
    return state.recall(_FLIGHT, None)


def _set_flight(lon: float, lat: float, zoom: float | None) -> None:
    last = last_flight()
    state.keep(_FLIGHT, Flight(1 if last is None else last.number + 1, float(lon), float(lat), zoom))


def set_clicked_point(lon: float, lat: float) -> None:
    """Store the exact point of a click on the globe until another place is selected; for the page only."""
    state.keep(_CLICKED_POINT, (globe_view().place, float(lon), float(lat)))


def clicked_point() -> tuple[float, float] | None:
    """Return the last point clicked on the globe, in degrees; None if the place was selected otherwise."""
    identity, lon, lat = state.recall(_CLICKED_POINT, ("", np.nan, np.nan))
    return (lon, lat) if identity == globe_view().place and np.isfinite([lon, lat]).all() else None


def add_table(name: str, folder: Path, *, show: bool = False) -> None:
    """Add a table of this user (a folder of shards, complete or still growing) to the list of this session.

    `show` opens it, with all its rows in view, and scrolls to the maps.
    """
    if session_tables().get(name) != folder:
        state.keep(_TABLES, {**session_tables(), name: folder})
        request_rerun()
    if show and globe_view().table != name:
        set_globe_view(GlobePageView(table=name))
    if show:
        state.keep(_SCROLLS, state.recall(_SCROLLS, 0) + 1)
        request_rerun()


def scroll_token() -> str:
    """Return a text that changes whenever the page should scroll to the maps."""
    return str(state.recall(_SCROLLS, 0))


def session_tables() -> dict[str, Path]:
    """Return the tables added in this session, by name."""
    return state.recall(_TABLES, {})


def set_panel_param(name: str, text: str) -> None:
    """Keep a panel's short text in the page's address, so that a link restores it; "" removes it.

    `name` is one of `PANEL_PARAMS`; the text has at most 400 printable characters. Keep references there,
    never data.
    """
    assert name in PANEL_PARAMS, name
    params = dict(globe_view().panel_params)
    text = text[:MAX_PARAM_CHARS]
    if params.get(name, "") != text:
        params[name] = text
        ordered = tuple((key, params[key]) for key in PANEL_PARAMS if params.get(key))
        set_globe_view(replace(globe_view(), panel_params=ordered), remember=False)
        request_rerun()


def panel_param(name: str) -> str:
    """Return a panel's text from the address, or "". It may come from an untrusted link: validate it."""
    return globe_view().panel_param(name)


def colour_by(by: str) -> None:
    """Colour the points by "appearance", "groups", "similar" (to the selected place) or "column:NAME"."""
    if globe_view().by != by:
        set_globe_view(replace(globe_view(), by=by))
        request_rerun()


def picture_strip(
    context: PanelContext,
    rows: Sequence[int],
    captions: Sequence[str],
    *,
    key: str = "",
    actions: Sequence[tuple[str, Callable[[int], None]]] = (),
) -> int | None:
    """Show the tiles of rows with captions in a strip that wraps; return the row clicked in this run.

    `key` distinguishes the strips of a page. `actions` are buttons under each picture as (label, function of
    the row). Each picture is a button, so it can be reached with the keyboard. Captions are plain text.
    """
    clicked = None
    st.html(STRIP_CSS)
    with st.container(horizontal=True, gap="xsmall", key=f"strip {key}"):
        for n, (row, caption) in enumerate(zip(rows, captions, strict=True)):
            with st.container(width=108, gap="xxsmall", key=f"strip {key} {n}"):
                label = f"![tile of row {row:d}]({picture_url(context.table, int(row))}) {plain(caption)}"
                if st.button(label, key=f"strip {key} {n} {row}", type="tertiary", width="stretch"):
                    clicked = int(row)
                if actions:
                    with st.container(horizontal=True, gap="xxsmall"):
                        for word, act in actions:
                            if st.button(plain(word), key=f"strip {key} {n} {row} {word}"):
                                act(int(row))
    return clicked


def take_rerun_request() -> bool:
    """Tell whether a panel asked for a rerun since the page was drawn, and clear the request."""
    requested = state.recall(_RERUN, False)
    state.keep(_RERUN, False)
    return requested


def request_rerun() -> None:
    """Rerun the page once the panels have drawn."""
    state.keep(_RERUN, True)


def _equal(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.flags.writeable = False
    return array
