"""The controls above the maps: table, model and scale, colours, and undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import streamlit as st

from core.atlas import EmbeddingTable
from core.units import metres
from ui.globe import tables
from ui.globe.globe_state import GlobePageView, can_undo, globe_view, set_globe_view, undo
from ui.globe.map import colour
from ui.shell import state
from ui.shell.escaping import plain

T = TypeVar("T")


def choose_table(names: Sequence[str]) -> str:
    """Let the user choose a table; return its name."""
    requested = globe_view().table
    name = requested if requested in names else names[0]
    if requested and requested != name:
        st.warning(
            f"The table {plain(requested)} is not available. {plain(name)} is shown instead.",
            icon=":material/table_view:",
        )
    _pick("Table", list(names), name, lambda chosen: GlobePageView(table=chosen), width=220)
    return name


def choose_model_and_scale(table: EmbeddingTable) -> None:
    """Let the user choose which rows to show, if the table has several models or scales."""
    current = globe_view()
    models, scales = table.models, (0.0, *tables.scales(table))
    if len(models) > 1:
        model = current.model if current.model in models else models[0]
        _pick(
            "Model",
            list(models),
            model,
            lambda chosen: replace(globe_view(), model=chosen, place=""),
            width=230,
        )
    if len(scales) > 2:
        gsd_m = current.gsd_m if current.gsd_m in scales else 0.0
        _pick(
            "GSD",
            list(scales),
            gsd_m,
            lambda chosen: replace(globe_view(), gsd_m=chosen),
            width=130,
            format_func=lambda gsd: metres(gsd) if gsd else "all",
        )


def choose_colour(table: EmbeddingTable, place: int | None) -> str:
    """Let the user choose what the colours show; return the choice."""
    titles = colour.colour_choices(table, place)
    by = globe_view().by if globe_view().by in titles else "appearance"
    _pick(
        "Colour by",
        list(titles),
        by,
        lambda chosen: replace(globe_view(), by=chosen),
        width=250,
        format_func=titles.__getitem__,
    )
    return by


def choose_land(table: EmbeddingTable) -> None:
    """Let the user leave out the sea, if the table has both land and sea."""
    if not tables.has_land_and_sea(table):
        return
    shown = tables.shows_land_only(globe_view(), table)
    state.set_widget("globe land", shown)

    def chosen() -> None:
        set_globe_view(replace(globe_view(), land_only=state.widget_value("globe land", shown)))

    st.toggle(
        "Land only",
        key=state.widget("globe land", shown),
        on_change=chosen,
        help="Colours, groups and searches then compare land with land, and not with the sea.",
    )


def undo_button() -> None:
    """Offer to undo the last change."""
    st.button(
        "Undo",
        icon=":material/undo:",
        on_click=undo,
        disabled=not can_undo(),
        key="globe undo",
        help="Undo the last change of table, colours, selection or place",
    )


def _pick(
    label: str,
    options: list[T],
    current: T,
    view_for: Callable[[T], GlobePageView],
    *,
    width: int,
    format_func: Callable[[T], str] = str,
) -> None:
    """Show a select box that follows the page's view; a choice updates it before the page reruns."""
    name = f"globe {label}"
    state.set_widget(name, current)

    def chosen() -> None:
        choice = state.widget_value(name, current)
        if choice != current:  # after an interrupted run, Streamlit may report the current choice again
            set_globe_view(view_for(choice))

    st.selectbox(
        plain(label),
        options,
        key=state.widget(name, current),
        format_func=format_func,
        width=width,
        on_change=chosen,
    )
