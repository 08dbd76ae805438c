"""The numbers of the Evaluate page as a table: filtered, sortable, what tells rows apart first, taken away as CSV and LaTeX."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result, in_order, to_csv, to_latex
from ui.shell import cached
from ui.shell.escaping import plain
from ui.shell.state import widget

FILTERS = {"Set": "data", "Model": "model", "Protocol": "protocol", "Scale": "scale", "Policy": "policy"}
METRICS = {"miou": "mean IoU", "psnr": "PSNR, dB"}
SPARE = ("hidden", "skipped")
"""Columns that are left out where no row says anything in them."""
TITLES = {"data": "set", "interval": "95 % interval"}
NARROW, WIDE = frozenset("iljtfr.,[]- "), frozenset("mwMW%")
CELL_PX, WIDEST_PX = 17, 190
"""Room beside a cell's text, and the most that a column takes."""


def in_words(value: str | float | None) -> str:
    """A setting as a list shows it: a scale in per cent, a model without policy in words."""
    return "no GSD" if value is None else value if isinstance(value, str) else f"{100 * value:g} %"


def unheard(model: str) -> bool:
    """Whether a preset's positions are static, so that no policy reaches it."""
    card = cached.cards().get(model)
    return card is not None and not card.gsd_aware


def policy_in_words(recipe: EvaluationRecipe) -> str:
    """The policy that a number was found under, as a cell says it."""
    return "none heard" if recipe.policy is not None and unheard(recipe.model) else in_words(recipe.policy)


def table(place: str, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """The numbers of one place, filtered and sortable; gives the rows that are shown."""
    shown = in_order(results)
    for column, (title, name) in zip(st.columns(len(FILTERS), gap="small"), FILTERS.items(), strict=True):
        values = sorted({getattr(result.recipe, name) for result in results}, key=str)
        chosen = column.multiselect(
            plain(title),
            values,
            key=widget(f"filter {place} {name}", []),
            format_func=in_words,
            placeholder="all",
            select_all=False,
        )
        shown = tuple(result for result in shown if not chosen or getattr(result.recipe, name) in chosen)
    lines = rows(shown)
    st.dataframe(
        lines,
        hide_index=True,
        height=min(420, 38 + 35 * len(lines)),
        column_config=_columns(lines, shown),
        placeholder="",
    )
    deaf = sorted(
        {
            result.recipe.model
            for result in shown
            if result.recipe.policy is not None and unheard(result.recipe.model)
        }
    )
    if deaf:
        st.caption(
            f"None heard: the positions of {plain(', '.join(deaf))} are static, so every policy gives them the same number."
        )
    with st.container(horizontal=True):
        st.download_button(
            "CSV", to_csv(shown), "evaluation.csv", "text/csv", icon=":material/download:", on_click="ignore"
        )
        st.download_button(
            "LaTeX",
            to_latex(shown),
            "evaluation.tex",
            "text/plain",
            icon=":material/download:",
            on_click="ignore",
        )
    return shown


def rows(results: tuple[Result, ...]) -> list[dict[str, Any]]:
    """A line for each number: what tells it apart, the number with its interval, then how it came about; without columns that say nothing."""
    lines = [_line(result) for result in results]
    silent = {name for name in SPARE if not any(line[name] for line in lines)}
    return [{name: value for name, value in line.items() if name not in silent} for line in lines]


def _line(result: Result) -> dict[str, Any]:
    recipe, digits = result.recipe, 2 if result.metric == "psnr" else 3
    shots = f", {recipe.shots}" if recipe.shots else ""
    return {
        "model": recipe.model,
        "value": result.value,
        "data": recipe.data,
        "protocol": recipe.protocol.replace("knn", "kNN") + shots,
        "hidden": recipe.ratio,
        "scale": recipe.scale,
        "policy": policy_in_words(recipe),
        "interval": f"[{result.low:.{digits}f}, {result.high:.{digits}f}]",
        "count": result.count,
        "skipped": len(result.skipped),
        "recipe": recipe.key[:6],
    }


def _columns(lines: list[dict[str, Any]], results: tuple[Result, ...]) -> dict[str, Any]:
    """Columns as wide as what stands in them; model and value stay in sight where a narrow screen scrolls."""
    text = (
        {name: st.column_config.Column(TITLES.get(name), width=_width(name, lines)) for name in lines[0]}
        if lines
        else {}
    )
    shares = {name: st.column_config.NumberColumn(format="percent", width=54) for name in ("scale", "hidden")}
    metrics = {METRICS.get(result.metric, result.metric) for result in results}
    said = "Accuracy; of a segmentation the mean IoU, of a reconstruction the PSNR in dB."
    value = st.column_config.NumberColumn(
        metrics.pop() if len(metrics) == 1 else None, format="%.3f", width=67, pinned=True, help=said
    )
    return (
        text
        | shares
        | {"model": st.column_config.TextColumn(width=_width("model", lines), pinned=True), "value": value}
    )


def _width(name: str, lines: list[dict[str, Any]]) -> int:
    texts = (
        TITLES.get(name, name),
        *(f"{line[name]:,}" if isinstance(line[name], int) else str(line[name]) for line in lines),
    )
    return round(min(WIDEST_PX, CELL_PX + max(map(_text_px, texts))))


def _text_px(text: str) -> float:
    """About how wide a text stands in a cell."""
    return sum(4 if letter in NARROW else 10.5 if letter in WIDE else 7 for letter in text)
