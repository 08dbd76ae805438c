"""Evaluation results as figures: accuracy over relative scales with its intervals, and where a classifier goes wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.evaluation.results import Result
from core.viz.theme import GRID, MODEL, SERIES, TEXT


def scale_chart(results: Sequence[Result]) -> go.Figure:
    """Accuracy against relative scale with 95 % intervals, a line for each model, set and policy."""
    lines: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        recipe = result.recipe
        lines[f"{recipe.model}, {recipe.data}, {recipe.policy or 'no GSD'}"].append(result)
    figure = go.Figure()
    for number, (name, members) in enumerate(lines.items()):
        members = sorted(members, key=lambda result: result.recipe.scale)
        colour = SERIES[number % len(SERIES)]
        spread = {
            "type": "data",
            "symmetric": False,
            "array": [r.high - r.value for r in members],
            "arrayminus": [r.value - r.low for r in members],
            "thickness": 1,
        }
        x, y = [100 * r.recipe.scale for r in members], [r.value for r in members]
        figure.add_scatter(x=x, y=y, error_y=spread, mode="lines+markers", name=name, line={"color": colour})
    figure.update_xaxes(title="relative scale, % of native size", type="log", tickvals=[12.5, 25, 50, 100], gridcolor=GRID)
    figure.update_yaxes(title="accuracy", gridcolor=GRID)
    return _plain(figure, 380)


def confusion_figure(counts: NDArray[np.int64], classes: Sequence[str]) -> go.Figure:
    """A confusion matrix as shares of each true class, counts on hover; true class down, predicted across."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(classes)
    heat = go.Heatmap(
        z=shares,
        x=names,
        y=names,
        customdata=counts,
        zmin=0,
        zmax=1,
        colorscale=[[0, "rgba(128,140,148,0.06)"], [1, MODEL]],
        hovertemplate="%{y} taken for %{x}: %{customdata} images (%{z:.0%})<extra></extra>",
        showscale=False,
    )
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed", title="is")
    figure.update_xaxes(title="taken for", tickangle=-40)
    return _plain(figure, 220 + 24 * len(names))


def _plain(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"color": TEXT},
        legend={"orientation": "h", "y": -0.25},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
