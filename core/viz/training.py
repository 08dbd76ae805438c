"""Curves of training runs, for one run or several over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from .theme import GRID, SERIES, TEXT

MOST_ABOVE_USUAL = 3.0
"""How far above the least the greatest loss may stand, in units of the 95th percentile's distance, before the axis ends below it."""


def loss_figure(
    logs: Mapping[str, Sequence[Mapping[str, Any]]], smooth: int = 20, by: str = "step"
) -> go.Figure:
    """Loss by step (or by pictures seen, by="seen") of each named run: faint as logged, bold as a running median over `smooth` rows.

    A few spikes neither lift the bold curve nor flatten the rest: the axis ends below them, and a note says how high they reach.
    """
    figure, everything = go.Figure(), [np.empty(0)]
    for colour, (name, rows) in zip(SERIES * 4, logs.items(), strict=False):
        x, y = np.array([row[by] for row in rows]), np.array([row["loss"] for row in rows], float)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 1},
            opacity=0.25,
            showlegend=False,
            hoverinfo="skip",
        )
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        everything.append(y)
        width = min(smooth, len(y))
        if width:
            running = np.median(np.lib.stride_tricks.sliding_window_view(y, width), axis=1)
            figure.add_scatter(
                x=x[width - 1 :], y=running, mode="lines", name=name, line={"color": colour, "width": 2.5}
            )
    _dress(figure, "step" if by == "step" else "pictures seen", "loss")
    return _below_spikes(figure, np.concatenate(everything))


def _below_spikes(figure: go.Figure, losses: NDArray[np.float64]) -> go.Figure:
    """End the axis of losses where a few of them stand far above the others."""
    if not len(losses):
        return figure
    low, usual, highest = (float(value) for value in (losses.min(), np.percentile(losses, 95), losses.max()))
    if highest - low <= MOST_ABOVE_USUAL * (usual - low) or usual == low:
        return figure
    room = 0.05 * (usual - low)
    top = usual + 5 * room
    above = int((losses > top).sum())
    figure.update_yaxes(range=[low - room, top])
    note = f"{above} value{'s' * (above > 1)} above, up to {highest:.3g}"
    return figure.add_annotation(
        text=note,
        xref="paper",
        yref="paper",
        x=1,
        y=1,
        xanchor="right",
        yanchor="top",
        showarrow=False,
        font={"color": TEXT, "size": 12},
    )


def progress_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """PSNR of the fixed tiles' hidden pixels over hours of training, a curve a run; dashed, what the network works on top of."""
    figure = go.Figure()
    for colour, (name, rows) in zip(SERIES * 4, logs.items(), strict=False):
        scored = [row for row in rows if "psnr" in row]
        hours = [row["hours"] for row in scored]
        figure.add_scatter(
            x=hours,
            y=[row["psnr"] for row in scored],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2.5},
        )
        fill = [row["fill_psnr"] for row in scored]
        dashed = {"color": colour, "width": 1.5, "dash": "dash"}
        figure.add_scatter(
            x=hours,
            y=fill,
            mode="lines+markers",
            name=f"{name}: fill below it",
            marker={"symbol": "line-ew-open"},
            line=dashed,
        )
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
