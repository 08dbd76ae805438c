"""What every panel of the Globe page receives, and what it may ask for in return.

A panel is a module of this package with one function `draw(desk)`. The page runs it in a fragment, and only while its tab is open. What a
panel asks for (`paint`, `choose`, `ring`, `fly`, `note`) is remembered, and once the panel has drawn, the whole page runs again with it.
Asking for what is already so does nothing, so a panel may say in every run what it wants; it must say it in the run, never in a
widget's callback, for a callback inside a fragment cannot reach the page.

Row numbers are those of `desk.table`, the rows on show: the chosen model's and GSD's rows of the table that is open.
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
from ui.globe.rows import address, identity_of
from ui.globe.sight import NOTES, Sight, look, sight
from ui.shell import cached, state
from ui.shell.escaping import plain

LONGEST_NOTE = 400
STRIP_CSS = """<style>
[class*="st-key-strip"] button[kind="tertiary"]{padding:0;min-height:0;border-radius:10px}
[class*="st-key-strip"] button[kind="tertiary"] p{font-size:.78rem;line-height:1.3;opacity:.85}
[class*="st-key-strip"] button[kind="tertiary"] img{display:block;width:104px;height:104px;max-height:none;object-fit:cover;border-radius:10px;
margin:0 0 4px;background:rgba(127,140,148,.15);transition:transform .12s}
[class*="st-key-strip"] button[kind="tertiary"]:hover img{transform:scale(1.04)}
</style>"""
MOST_RINGS = 200
_DESK, _LAYER, _RINGS, _FLY, _TABLES, _CHANGED, _SPOT, _REVEAL = (
    f"globe {name}" for name in ("desk", "layer", "rings", "fly", "tables", "changed", "spot", "reveal")
)


@dataclass(frozen=True, eq=False)
class Desk:
    """What is on the page in this run; arrays are shared by all users and never written to."""

    view: PageView
    """Model, mask, policy and tile of the whole app."""
    name: str
    """What the open table is called."""
    table: EmbeddingTable
    """The rows on show."""
    lonlat: NDArray[np.float32]
    """(n, 2) degrees, NaN where a row has no place."""
    plane: NDArray[np.float32]
    """(n, 2) the projection on show, NaN where a row has no usable vector."""
    selected: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows inside the selection, drawn on either side; possibly empty."""
    place: int | None = None
    """The row that was clicked, chosen or flown to."""
    folder: Path | None = None
    """Where the open table lies on disk: a folder of shards, or one file."""
    whole: EmbeddingTable | None = None
    """The open table with the rows of every model and scale."""

    def identity(self, row: int) -> str:
        """The unique_id of a row, by which links name it; of a table without identities, its number."""
        return identity_of(self.table, row)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """(n, d) unit vectors, made on first use and shared: n x d x 4 bytes, so prefer `core.atlas` functions on `table` where they do."""

        table = self.table
        return cached.shelf("globe units", 2).once(
            table.fingerprint, lambda: _frozen(table.unit_rows(np.arange(len(table))))
        )


@dataclass(frozen=True, eq=False)
class Layer:
    """Colours for all rows: `values` (n,) float32 with a run of colours, `categories` (n,) int with a colour each, or `rgb` (n, 3) uint8.

    Exactly one of the three. NaN values and categories below 0 are grey. `names` of the categories from 0 on (more than the palette
    holds share its colours in turn). `palette` "#rrggbb" from low to high, or one for each category; None takes the page's own.
    `limits` (low, high) ends of the run (None: 2nd to 98th percentile). `note` one line under the legend.
    """

    title: str
    values: NDArray[np.float32] | None = None
    categories: NDArray[np.integer[Any]] | None = None
    names: tuple[str, ...] = ()
    palette: tuple[str, ...] | None = None
    note: str = ""
    limits: tuple[float, float] | None = None
    rgb: NDArray[np.uint8] | None = None

    def same(self, other: object) -> bool:
        """Tell whether another layer would look the same."""
        if not isinstance(other, Layer):
            return False
        mine, theirs = (
            (layer.title, layer.names, layer.palette, layer.note, layer.limits) for layer in (self, other)
        )
        pairs = ((self.values, other.values), (self.categories, other.categories), (self.rgb, other.rgb))
        return mine == theirs and all(_equal(a, b) for a, b in pairs)


@dataclass(frozen=True)
class Flight:
    """A wish to look at a place; each number is carried out once."""

    number: int
    lon: float
    lat: float
    zoom: float | None


def lay(desk: Desk) -> Desk:
    """Make this the desk of the run; only the page does."""
    state.keep(_DESK, desk)
    return desk


def paint(layer: Layer) -> None:
    """Colour all points by a layer; it stays in the pick list "Colour by" under its title until another is painted."""
    if not layer.same(state.recall(_LAYER, None)):
        state.keep(_LAYER, layer)
        look(replace(sight(), by="painted"))
        ask_again()


def paint_on_request(layer: Layer, *, family: Sequence[str] = ()) -> None:
    """Let a toggle colour the maps by a layer: a panel that is merely opened changes no colours.

    While it is on, the maps follow the panel; `family` names the other layers between which the panel switches.
    """
    latest = painted()
    on = sight().by == "painted" and latest is not None and latest.title in {layer.title, *family}
    if st.toggle("Colour the maps by this", value=on, key=f"colour the maps {layer.title} {on}"):
        paint(layer)
    elif on:
        colour_by("appearance")


def painted() -> Layer | None:
    """The layer that a panel painted last."""
    return state.recall(_LAYER, None)


def choose(row: int, *, fly: bool = True) -> None:
    """Make a row the place in hand, as a click on it would; `fly` also turns the globe to it."""
    desk: Desk | None = state.recall(_DESK, None)
    if desk is None:
        return
    identity = desk.identity(row)
    if sight().place != identity:
        look(replace(sight(), place=identity))
        ask_again()
        if fly and np.isfinite(desk.lonlat[row]).all():
            _fly(*desk.lonlat[row].tolist(), None)


def ring(rows: Sequence[int]) -> None:
    """Ring these rows on both sides (at most 200: neighbours, suggestions); an empty list lifts the rings."""
    desk: Desk | None = state.recall(_DESK, None)
    wanted = tuple(int(row) for row in rows)[:MOST_RINGS]
    if desk is not None and rings(desk.table) != wanted:
        state.keep(_RINGS, (desk.table.fingerprint, wanted))
        ask_again()


def rings(table: EmbeddingTable) -> tuple[int, ...]:
    """The rows of a table that a panel ringed."""
    fingerprint, rows = state.recall(_RINGS, ("", ()))
    return rows if fingerprint == table.fingerprint else ()


def fly(lon: float, lat: float, zoom: float | None = None) -> None:
    """Turn the globe to a place in degrees, each time it is called; zoom 0 shows the whole Earth, one more doubles it (None: 2).

    The only wish that is not idempotent: call it when a button was pressed, not in every run.
    """
    _fly(lon, lat, zoom)
    ask_again()


def flight() -> Flight | None:
    """The last wish to fly."""
    return state.recall(_FLY, None)


def _fly(lon: float, lat: float, zoom: float | None) -> None:
    last = flight()
    state.keep(_FLY, Flight(1 if last is None else last.number + 1, float(lon), float(lat), zoom))


def mark_spot(lon: float, lat: float) -> None:
    """Remember the very spot of a click on the globe, as long as the place in hand stays the same; only the page does."""
    state.keep(_SPOT, (sight().place, float(lon), float(lat)))


def spot() -> tuple[float, float] | None:
    """Where on the globe was clicked last, in degrees; None where the place in hand came otherwise since."""
    identity, lon, lat = state.recall(_SPOT, ("", np.nan, np.nan))
    return (lon, lat) if identity == sight().place and np.isfinite([lon, lat]).all() else None


def add_table(name: str, folder: Path, *, show: bool = False) -> None:
    """Put a table of this user's (a folder of shards, growing or finished) into the pick list of this session; `show` opens it and scrolls to the maps.

    A table that is opened is looked at as a whole: its places may be far from those on show.
    """
    if own_tables().get(name) != folder:
        state.keep(_TABLES, {**own_tables(), name: folder})
        ask_again()
    if show and sight().table != name:
        look(Sight(table=name))
    if show:
        state.keep(_REVEAL, state.recall(_REVEAL, 0) + 1)
        ask_again()


def revealed() -> str:
    """Changes whenever the page is to scroll to the maps."""
    return str(state.recall(_REVEAL, 0))


def own_tables() -> dict[str, Path]:
    """The tables that were made in this session, by name."""
    return state.recall(_TABLES, {})


def note(name: str, text: str) -> None:
    """Leave a short text of a panel in the page's address ("" removes it), so that a link restores it: a reference, never the data.

    `name` is one of `sight.NOTES`; the text at most 400 printable characters.
    """
    assert name in NOTES, name
    now = dict(sight().notes)
    text = text[:LONGEST_NOTE]
    if now.get(name, "") != text:
        kept = {**now, name: text}
        look(replace(sight(), notes=tuple((n, kept[n]) for n in NOTES if kept.get(n))), remember=False)
        ask_again()


def noted(name: str) -> str:
    """What a panel left in the address under a name, or what the link said; "" where nothing was. A link is hostile: check it."""
    return sight().noted(name)


def colour_by(by: str) -> None:
    """Colour the points by one of the page's own choices: "appearance", "groups", "similar" (to the place in hand) or "column:NAME"."""
    if sight().by != by:
        look(replace(sight(), by=by))
        ask_again()


def pictures(
    desk: Desk,
    rows: Sequence[int],
    captions: Sequence[str],
    *,
    key: str = "",
    actions: Sequence[tuple[str, Callable[[int], None]]] = (),
) -> int | None:
    """Show rows' tiles in a strip that wraps, each with a caption; give the row whose picture was clicked in this run, else None.

    `key` tells strips of one page apart. `actions`: small buttons under each picture, (label, what it does with the row). The picture
    is the button, so the keyboard reaches it; captions are plain text.
    """
    clicked = None
    st.html(STRIP_CSS)
    with st.container(horizontal=True, gap="small", key=f"strip {key}"):
        for n, (row, caption) in enumerate(zip(rows, captions, strict=True)):
            with st.container(width=108, gap="xxsmall", key=f"strip {key} {n}"):
                label = f"![tile of row {row:d}]({address(desk.table, int(row))}) {plain(caption)}"
                if st.button(label, key=f"strip {key} {n} {row}", type="tertiary", width="stretch"):
                    clicked = int(row)
                if actions:
                    with st.container(horizontal=True, gap="xxsmall"):
                        for word, act in actions:
                            if st.button(plain(word), key=f"strip {key} {n} {row} {word}"):
                                act(int(row))
    return clicked


def changed() -> bool:
    """Tell whether a panel asked for something since the page was drawn; asking lowers the flag."""
    was = state.recall(_CHANGED, False)
    state.keep(_CHANGED, False)
    return was


def ask_again() -> None:
    """Let the page run once more when the panels have drawn."""
    state.keep(_CHANGED, True)


def _equal(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.flags.writeable = False
    return array
