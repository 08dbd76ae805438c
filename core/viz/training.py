"""Curves of training runs, for one run or several over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.viz.theme import GRID, SERIES, TEXT


def loss_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]], smooth: int = 20, by: str = "step") -> go.Figure:
    """Loss by step (or by pictures seen, by="seen") of each named run: faint as logged, bold as a running mean over `smooth` rows."""
    figure = go.Figure()
    for colour, (name, rows) in zip(SERIES * 4, logs.items(), strict=False):
        x, y = np.array([row[by] for row in rows]), np.array([row["loss"] for row in rows], float)
        figure.add_scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 1}, opacity=0.25, showlegend=False, hoverinfo="skip")
        width = min(smooth, len(y))
        if width:
            running = np.convolve(y, np.ones(width) / width, mode="valid")
            figure.add_scatter(x=x[width - 1 :], y=running, mode="lines", name=name, line={"color": colour, "width": 2.5})
    axis = {"gridcolor": GRID, "zeroline": False, "color": TEXT}
    figure.update_layout(
        height=320,
        margin={"l": 50, "r": 10, "t": 10, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT},
        legend={"orientation": "h", "y": 1.1},
        xaxis={**axis, "title": {"text": "step" if by == "step" else "pictures seen"}},
        yaxis={**axis, "title": {"text": "loss"}},
    )
    return figure
