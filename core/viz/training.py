"""Curves of training runs, for one run or several over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .theme import GRID, SERIES, TEXT


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
    return _dress(figure, "step" if by == "step" else "pictures seen", "loss")


def progress_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """PSNR of the fixed tiles' hidden pixels over hours of training, a curve a run; dashed, what the network works on top of."""
    figure = go.Figure()
    for colour, (name, rows) in zip(SERIES * 4, logs.items(), strict=False):
        scored = [row for row in rows if "psnr" in row]
        hours = [row["hours"] for row in scored]
        figure.add_scatter(x=hours, y=[row["psnr"] for row in scored], mode="lines+markers", name=name, line={"color": colour, "width": 2.5})
        fill = [row["fill_psnr"] for row in scored]
        dashed = {"color": colour, "width": 1.5, "dash": "dash"}
        figure.add_scatter(x=hours, y=fill, mode="lines+markers", name=f"{name}: fill below it", marker={"symbol": "line-ew-open"}, line=dashed)
    _dress(figure, "hours of training", "PSNR of hidden pixels (dB)")
    return figure.update_xaxes(rangemode="tozero")


def _dress(figure: go.Figure, across: str, up: str) -> go.Figure:
    axis = {"gridcolor": GRID, "zeroline": False, "color": TEXT}
    return figure.update_layout(
        height=320,
        margin={"l": 50, "r": 10, "t": 10, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT},
        legend={"orientation": "h", "y": 1.1},
        xaxis={**axis, "title": {"text": across}},
        yaxis={**axis, "title": {"text": up}},
    )
