"""The results of the Evaluate page as a table with filters, sorting, and export to CSV and LaTeX."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.evaluation.protocols.averages import signed
from core.evaluation.recipes import PROTOCOL_LABELS, EvaluationRecipe
from core.evaluation.results import METRIC_LABELS, Result, in_order, to_csv, to_latex
from ui.shell import cached
from ui.shell.escaping import plain
from ui.shell.state import widget

FILTERS = {"Set": "data", "Model": "model", "Protocol": "protocol", "Scale": "scale", "Policy": "policy"}
OPTIONAL = ("lead", "detail", "skipped")
"""Columns that are left out when they are empty in every row."""
TITLES = {
    "data": "set",
    "interval": "95 % interval",
    "lead": "lead over the best fill, dB",
    "detail": "detail over that fill",
}
SHORT_LABELS = PROTOCOL_LABELS | {"gsd": "GSD"}
NARROW_LETTERS, WIDE_LETTERS = frozenset("iljtfr.,[]- "), frozenset("mwMW%")
CELL_PADDING_PX, MAX_COLUMN_PX, MODEL_COLUMN_PX = 17, 190, 134
"""The names of untrained networks are longer; Streamlit cuts them and shows them under the pointer."""


def value_label(value: str | float | None) -> str:
    """Return a setting as lists show it: a scale in per cent, a protocol by its label, "no GSD" for None."""
    if value is None:
        return "no GSD"
    return PROTOCOL_LABELS.get(value, value) if isinstance(value, str) else f"{100 * value:g} %"


def ignores_gsd(model: str) -> bool:
    """Return whether a preset has a static positional encoding, so that no policy affects it."""
    card = cached.cards().get(model)
    return card is not None and not card.gsd_aware


def policy_label(recipe: EvaluationRecipe) -> str:
    """Return the policy of a result as a table cell shows it."""
    unused = recipe.policy is not None and ignores_gsd(recipe.model)
    clipped = ", clipped" if recipe.res_is_clipped else ""
    return "static" if unused else f"{value_label(recipe.policy)}{clipped}"


def table(origin: str, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """Show the results of one origin with filters, and return those that pass them."""
    shown = in_order(results)
    for column, (title, name) in zip(st.columns(len(FILTERS), gap="small"), FILTERS.items(), strict=True):
        values = sorted({getattr(result.recipe, name) for result in results}, key=str)
        chosen = column.multiselect(
            plain(title),
            values,
            key=widget(f"filter {origin} {name}", []),
            format_func=value_label,
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
    without_policy = sorted(
        {
            result.recipe.model
            for result in shown
            if result.recipe.policy is not None and ignores_gsd(result.recipe.model)
        }
    )
    if without_policy:
        st.caption(
            f"Not scale-aware (static): every policy gives {plain(', '.join(without_policy))} "
            "the same result, because the positional encoding is static."
        )
    scaled = sum(result.recipe.gallery_label == "scaled" for result in shown)
    if scaled:
        st.caption(
            f"In {scaled:,} of these results the training images were reduced like the test images; "
            "the Scale-MAE paper reduces only the test images."
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
    """Return a table row for each result, without optional columns that are empty."""
    lines = [_line(result) for result in results]
    empty = {name for name in OPTIONAL if not any(line[name] for line in lines)}
    return [{name: value for name, value in line.items() if name not in empty} for line in lines]


def _line(result: Result) -> dict[str, Any]:
    recipe, digits = result.recipe, result.digits
    shots = f", {recipe.shots}" if recipe.shots else ""
    hidden = f", {100 * recipe.ratio:g} %" if recipe.ratio else ""
    return {
        "model": recipe.model,
        "value": result.value,
        "data": recipe.data,
        "protocol": f"{SHORT_LABELS[recipe.protocol]}{shots}{hidden}",
        "scale": recipe.scale,
        "policy": policy_label(recipe),
        "interval": f"[{result.low:.{digits}f}, {result.high:.{digits}f}]",
        "lead": signed(result.details.get("lead_over_best_fill"), 2),
        "detail": signed(result.details.get("detail_over_best_fill"), 3),
        "count": result.count,
        "skipped": len(result.skipped),
        "recipe": recipe.key[:6],
    }


def _columns(lines: list[dict[str, Any]], results: tuple[Result, ...]) -> dict[str, Any]:
    """Fit column widths to their contents; model and value stay pinned while a narrow screen scrolls."""
    text = (
        {name: st.column_config.Column(TITLES.get(name), width=_width(name, lines)) for name in lines[0]}
        if lines
        else {}
    )
    metrics = {METRIC_LABELS.get(result.metric, result.metric) for result in results}
    explanation = (
        "Accuracy; mean IoU for segmentation, PSNR in dB for reconstruction, "
        "dB gained by the right GSD for GSD sensitivity. Per cent after a protocol: hidden patches."
    )
    value = st.column_config.NumberColumn(
        metrics.pop() if len(metrics) == 1 else None, format="%.3f", width=67, pinned=True, help=explanation
    )
    return text | {
        "scale": st.column_config.NumberColumn(format="percent", width=54),
        "model": st.column_config.TextColumn(width=min(MODEL_COLUMN_PX, _width("model", lines)), pinned=True),
        "value": value,
    }


def _width(name: str, lines: list[dict[str, Any]]) -> int:
    texts = (
        TITLES.get(name, name),
        *(f"{line[name]:,}" if isinstance(line[name], int) else str(line[name]) for line in lines),
    )
    return round(min(MAX_COLUMN_PX, CELL_PADDING_PX + max(map(_text_px, texts))))


def _text_px(text: str) -> float:
    """Estimate the width of a text in a cell, in pixels."""
    return sum(4 if letter in NARROW_LETTERS else 10.5 if letter in WIDE_LETTERS else 7 for letter in text)
