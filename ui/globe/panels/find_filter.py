"""Search by a condition on the columns, written like an SQL WHERE clause."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas.errors import FilterError
from core.atlas.schema import COLUMNS
from core.atlas.store.condition_syntax import SUMMARIES
from core.errors import ExplorerError
from core.viz.theme import CLASSES
from ui.globe import panel_api as api
from ui.globe.globe_state import MAX_PARAM_CHARS
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels.downloads import downloads
from ui.shell import cached, state
from ui.shell.escaping import plain

SHOWN = 24
DIM = "#3d474d"
_LAST = "globe find filter"
EXAMPLES = {
    "Far north": ("centre_lat", "centre_lat > 66.5"),
    "Tropics": ("centre_lat", "centre_lat BETWEEN -23.4 AND 23.4"),
    "Finest scale": ("gsd_m", "gsd_m = (SELECT min(gsd_m) FROM places)"),
    "Highest 1 % of losses": (
        "recon_loss_high",
        "recon_loss_high > (SELECT quantile_cont(recon_loss_high, 0.99) FROM places)",
    ),
}
HELP = (
    "Columns, numbers, 'text' and timestamps with = <> < <= > >=, BETWEEN, IN, LIKE, IS NULL, AND, OR, NOT "
    "and + - * / %. "
    f"A subquery can aggregate one column, as in (SELECT max(gsd_m) FROM places): {', '.join(SUMMARIES)}."
)


def draw(context: PanelContext) -> None:
    """Let the user enter a condition; show the rows that match it."""
    columns = _filled(context)
    with st.container(horizontal=True, gap="small"):
        for name, (needs, text) in EXAMPLES.items():
            if needs in columns and st.button(
                plain(name), key=f"find example {name}", type="tertiary", help=plain(text)
            ):
                api.set_panel_param("search", f"filter:{text}")
                api.take_rerun_request()
                st.rerun()
    text = st.text_area(
        "Condition (SQL WHERE clause)",
        key=state.widget("find filter", ""),
        height=80,
        max_chars=MAX_PARAM_CHARS - 10,
        placeholder="centre_lat > 66.5 AND gsd_m < 10000",
        help=HELP,
    )
    with st.expander("Columns of this table", icon=":material/table_rows:"):
        st.dataframe(
            {"column": list(columns), "meaning": [COLUMNS[name][1] for name in columns]}, hide_index=True
        )
    if not text.strip():
        return
    rows = rows_of(context, text)
    one_line = " ".join(text.split())
    state.keep("globe find seen", f"filter:{one_line}")
    api.set_panel_param("search", f"filter:{one_line}")
    state.keep(_LAST, text)
    if not len(rows):
        st.info("No row matches this condition. Try a less strict one.", icon=":material/filter_alt_off:")
        api.ring_rows([])
        return
    st.markdown(
        f"**{len(rows):,}** of {len(context.table):,} rows match ({len(rows) / len(context.table):.1%})."
    )
    meets = np.zeros(len(context.table), np.int64)
    meets[rows] = 1
    api.show_layer(
        Layer(
            "Condition",
            categories=meets,
            names=("no match", "match"),
            palette=(DIM, CLASSES[1]),
            note=one_line[:120],
        )
    )
    api.ring_rows([])
    shown = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)].tolist()
    clicked = api.picture_strip(
        context, shown, [context.identity(row)[:10] for row in shown], key="find filter"
    )
    if len(rows) > SHOWN:
        st.caption(
            f"Showing {SHOWN} of them, spread evenly over the table. In the other searches, “Where” can "
            "limit results to these rows."
        )
    downloads(
        context, "condition", {"meets": meets}, {"meets": meets}, {"condition": one_line}, key="find filter"
    )
    if clicked is not None:
        api.select_place(clicked)


def limit(context: PanelContext) -> dict[str, NDArray[np.int64]]:
    """Return the rows that match the last condition, as a limit for other searches; {} if there are none."""
    text = state.recall(_LAST, "")
    if not text:
        return {}
    try:
        rows = rows_of(context, text)
    except ExplorerError:
        return {}
    return {"Rows matching my condition": rows} if len(rows) else {}


def rows_of(context: PanelContext, text: str) -> NDArray[np.int64]:
    """Return the rows that match a condition. Raises FilterError with an example."""

    def find() -> NDArray[np.int64]:
        try:
            return context.table.rows_where(text)
        except FilterError as problem:
            raise FilterError(f"{problem} For example: {_example(context)}") from problem

    return cached.result_cache("conditions", 32).get_or_compute((context.table.fingerprint, text), find)


def _example(context: PanelContext) -> str:
    columns = _filled(context)
    return next((text for needs, text in EXAMPLES.values() if needs in columns), "unique_id = 'a'")


def _filled(context: PanelContext) -> list[str]:
    """Return the columns that have any values."""

    def find() -> list[str]:
        return [
            name
            for name in context.table.columns.column_names
            if context.table.columns[name].null_count < len(context.table) and name in COLUMNS
        ]

    return cached.result_cache("filled columns", 16).get_or_compute(context.table.fingerprint, find)
