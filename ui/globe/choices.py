"""The row of choices above the maps: which table, which of its rows, coloured by what, and undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import streamlit as st

from core.atlas import EmbeddingTable
from core.units import metres
from ui.globe import tables
from ui.globe.map import colour
from ui.globe.sight import Sight, can_undo, look, sight, undo
from ui.shell import state
from ui.shell.escaping import plain

T = TypeVar("T")


def choose_rows(names: Sequence[str]) -> str:
    """The table that is open, by name, with the door to the others."""
    now = sight()
    name = now.table if now.table in names else names[0]
    if now.table and now.table != name:
        st.warning(
            f"The table {plain(now.table)} is not here, so {plain(name)} is shown.",
            icon=":material/table_view:",
        )
    _pick("Table", list(names), name, lambda chosen: Sight(table=chosen), width=220)
    return name


def choose_model_and_scale(table: EmbeddingTable) -> None:
    """Where a table mixes models or scales: which of them are shown."""
    now = sight()
    models, scales = table.models, (0.0, *tables.scales(table))
    if len(models) > 1:
        model = now.model if now.model in models else models[0]
        _pick(
            "Vectors of",
            list(models),
            model,
            lambda chosen: replace(sight(), model=chosen, place=""),
            width=230,
        )
    if len(scales) > 2:
        gsd_m = now.gsd_m if now.gsd_m in scales else 0.0
        _pick(
            "Pixels of", list(scales), gsd_m, lambda chosen: replace(sight(), gsd_m=chosen), width=130,
            words=lambda gsd: metres(gsd) if gsd else "every scale",
        )  # fmt: skip


def choose_colour(table: EmbeddingTable, place: int | None) -> str:
    """What the colours mean."""
    found = colour.choices(table, place)
    by = sight().by if sight().by in found else "appearance"
    _pick(
        "Colour by",
        list(found),
        by,
        lambda chosen: replace(sight(), by=chosen),
        width=250,
        words=found.__getitem__,
    )
    return by


def undo_button() -> None:
    """Back to what was shown before."""
    st.button(
        "Undo",
        icon=":material/undo:",
        on_click=undo,
        disabled=not can_undo(),
        key="globe undo",
        help="Back to what was shown before",
    )


def _pick(
    label: str,
    options: list[T],
    now: T,
    then: Callable[[T], Sight],
    *,
    width: int,
    words: Callable[[T], str] = str,
) -> None:
    """A pick list that always shows what the sight says; a choice becomes the sight before the page runs."""
    name = f"globe {label}"
    state.set_widget(name, now)

    def chosen() -> None:
        if (
            choice := state.said(name, now)
        ) != now:  # a run that was cut short makes Streamlit report what is chosen already
            look(then(choice))

    st.selectbox(
        plain(label), options, key=state.widget(name, now), format_func=words, width=width, on_change=chosen
    )
