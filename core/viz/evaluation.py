"""Figures of evaluation results: accuracy over relative scales, confusion matrices, example pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ..evaluation.data.masked_set import UNLABELLED
from ..evaluation.recipes import EvaluationRecipe
from ..evaluation.results import METRIC_LABELS, Result
from .chart import style_chart
from .theme import CLASSES, FAINT, GRID, MID_GREY, MODEL, ON_MODEL, SERIES, TEXT, rgb

MOST_COUNTED = 21
"""The largest number of classes whose cells have room for a count."""
SCALE_FIELDS: dict[str, Any] = {
    "scale": 1.0,
    **dict.fromkeys(
        ("native_px", "scaled_px", "size_px", "gsd_m", "res", "gallery", "gallery_px", "gallery_res")
    ),
}
"""Recipe fields that depend on the relative scale, with the value that replaces them to group results."""
MARKS, DASHES = ("circle", "diamond", "square", "cross"), ("solid", "dot", "dash", "longdash")


def scale_chart(results: Sequence[Result]) -> go.Figure:
    """Plot accuracy (or mean IoU) against relative scale with 95 % intervals.

    Colours stand for models, markers for data sets, dashes for policies. A line joins recipes that differ in
    scale only; where further settings differ between lines, the legend names them.
    """
    lines: dict[EvaluationRecipe, list[Result]] = defaultdict(list)
    galleries: dict[EvaluationRecipe, set[str]] = defaultdict(set)
    for result in results:
        if result.recipe.gallery_label:
            galleries[replace(result.recipe, **SCALE_FIELDS)].add(result.recipe.gallery_label)
    for result in sorted(results, key=lambda result: result.recipe.scale):
        line = replace(result.recipe, **SCALE_FIELDS)
        label = result.recipe.gallery_label
        for gallery in [label] if label else galleries[line] or [None]:  # full size belongs to either gallery
            lines[replace(line, gallery=gallery)].append(result)
    names = _line_names(list(lines))
    models, sets, policies = (list(dict.fromkeys(sorted(_look(line)[n] for line in lines))) for n in range(3))
    figure = go.Figure()
    for line, members in sorted(lines.items(), key=lambda item: names[item[0]]):
        model, data, policy = _look(line)
        colour = SERIES[models.index(model) % len(SERIES)]
        look = {"color": colour, "dash": DASHES[policies.index(policy) % len(DASHES)]}
        spread = {
            "type": "data",
            "symmetric": False,
            "array": [r.high - r.value for r in members],
            "arrayminus": [r.value - r.low for r in members],
            "thickness": 1,
        }
        x, y = [100 * r.recipe.scale for r in members], [r.value for r in members]
        mark = {"symbol": MARKS[sets.index(data) % len(MARKS)], "size": 8}
        figure.add_scatter(
            x=x, y=y, error_y=spread, mode="lines+markers", name=names[line], line=look, marker=mark
        )
    figure.update_xaxes(
        title="relative scale, % of native size", type="log", tickvals=[12.5, 25, 50, 100], gridcolor=GRID
    )
    metric = results[0].metric if results else ""
    figure.update_yaxes(title=METRIC_LABELS.get(metric, metric), gridcolor=GRID)
    return style_chart(figure, 340 + 10 * len(lines), {"y": -0.25})


def _look(line: EvaluationRecipe) -> tuple[str, str, str]:
    return line.model, line.data, line.policy or "no GSD"


def _line_names(lines: Sequence[EvaluationRecipe]) -> dict[EvaluationRecipe, str]:
    names: dict[EvaluationRecipe, str] = {}
    for line in lines:
        alike = [other for other in lines if _look(other) == _look(line)]
        apart = [
            field.name
            for field in fields(EvaluationRecipe)
            if len({getattr(other, field.name) for other in alike}) > 1
        ]
        settings = [f"{name.replace('_', ' ')} {str(getattr(line, name) or 'none')[:8]}" for name in apart]
        names[line] = ", ".join((*_look(line), *settings))
    return names


def confusion_figure(counts: NDArray[np.int64], classes: Sequence[str]) -> go.Figure:
    """Draw a confusion matrix (true class by predicted class), coloured by the share of each true class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(classes)
    heat = go.Heatmap(
        z=shares,
        x=names,
        y=names,
        customdata=counts,
        zmin=0,
        zmax=1,
        colorscale=[[0, FAINT], [1, MODEL]],
        hovertemplate="%{y} predicted as %{x}: %{customdata} images (%{z:.0%})<extra></extra>",
        showscale=False,
    )
    figure = go.Figure(heat)
    if len(names) <= MOST_COUNTED:
        rows, columns = np.nonzero(counts)
        # Plotly's automatic text colour ignores the dark theme.
        colours = np.where(shares[rows, columns] > 0.45, ON_MODEL, TEXT)
        figure.add_scatter(
            x=[names[at] for at in columns],
            y=[names[at] for at in rows],
            text=[str(count) for count in counts[rows, columns]],
            mode="text",
            textfont={"color": list(colours)},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_yaxes(autorange="reversed", title="true class", showgrid=False)
    figure.update_xaxes(title="predicted class", tickangle=-40, showgrid=False)
    return style_chart(figure, 220 + 24 * len(names), {"y": -0.25})


def example_pictures(
    pictures: NDArray[np.uint8], truth: NDArray[np.uint8], predicted: NDArray[np.uint8]
) -> list[NDArray[np.uint8]]:
    """Place picture, truth and prediction side by side at double size.

    pictures: (n, t, t, 3). truth, predicted: classes (n, t, t), 255 for unlabelled. Returns n of (2t, 6t + 8,
    3).
    """
    rows = zip(pictures, truth, predicted, strict=True)
    gap = np.full((2 * pictures.shape[1], 4, 3), MID_GREY, np.uint8)
    return [
        np.concatenate(
            [_double(plain), gap, _double(_overlaid(plain, true)), gap, _double(_overlaid(plain, found))],
            axis=1,
        )
        for plain, true, found in rows
    ]


def legend(classes: Sequence[str]) -> str:
    """Return the names of classes beside their colours, as HTML."""
    dots = (
        f'<span style="display:inline-block;width:.8em;height:.8em;border-radius:50%;'
        f'background:{CLASSES[number % len(CLASSES)]}"></span> {escape(name)}'
        for number, name in enumerate(classes)
    )
    items = "".join(f"<span>{dot}</span>" for dot in dots)
    return f'<div style="display:flex;flex-wrap:wrap;gap:.2em 1em">{items}</div>'


def _overlaid(picture: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colours = np.array([rgb(colour) for colour in CLASSES])
    mixed = (0.45 * picture + 0.55 * colours[classes % len(CLASSES)]).astype(np.uint8)
    return np.where((classes == UNLABELLED)[..., None], picture, mixed)


def _double(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.repeat(2, axis=0).repeat(2, axis=1)
