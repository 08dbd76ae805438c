"""The first section of the Evaluate page: which model for what, with floors and intervals."""

from __future__ import annotations

import streamlit as st

from core.evaluation.overview import answers, overview
from core.evaluation.results import Result, in_order, to_csv
from ui.shell import cached
from ui.shell.escaping import plain


def which_model_section(results: tuple[Result, ...]) -> None:
    """Show one table of models and tasks, the answer in words above it, and its export below."""
    from core.viz.model_cards import model_title
    from core.viz.which_model import unmeasured, which_model

    known = cached.cards()
    table = overview(results, {name: (card.pooling, card.default_policy) for name, card in known.items()})
    if not table.tasks:
        return
    st.markdown("## Which model for what")
    sentences = [
        f"**{plain(kind)}:** {plain(' or '.join(model_title(name, known) for name in names[:3]))}"
        for kind, names in answers(table)
    ]
    st.markdown("  \n".join(sentences))
    st.html(which_model(table, known))
    missing = unmeasured(table, known)
    here = f" No result yet: {plain(', '.join(missing))}; the form below measures them." if missing else ""
    st.caption(
        "Bars are 95 % intervals, on one scale per column. Green: the best of a column, and every model "
        "whose interval overlaps it. Models are sorted by the share of the others that they beat, each under "
        f"its own pooling and scale policy.{here}"
    )
    st.download_button(
        "CSV of this table",
        to_csv(in_order(tuple(table.cells.values()))),
        "which_model.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
