"""Curves of one training run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from .chart import style_chart
from .theme import GRID, SERIES, TEXT

MOST_ABOVE_USUAL = 3.0
"""How far the loss axis may extend, relative to the 95th percentile, before it cuts off spikes."""


def loss_figure(
    logs: Mapping[str, Sequence[Mapping[str, Any]]], smooth: int = 20, by: str = "step"
) -> go.Figure:
    """Plot the loss of each run by step (or images seen, by="seen") with its running median.

    The loss axis is logarithmic where every loss is positive. Spikes affect neither the median nor the axis,
    which ends below them; a note gives their number and height.
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
        if len(y):
            width = min(smooth, max(1, len(y) // 4))  # a short run has a curve too
            running = np.median(np.lib.stride_tricks.sliding_window_view(y, width), axis=1)
            figure.add_scatter(
                x=x[width - 1 :], y=running, mode="lines", name=name, line={"color": colour, "width": 2.5}
            )
    _style(figure, "step" if by == "step" else "images seen", "loss")
    return _below_spikes(figure, np.concatenate(everything))


def _below_spikes(figure: go.Figure, losses: NDArray[np.float64]) -> go.Figure:
    """Cut the loss axis below a few values that are far above the others."""
    if not len(losses):
        return figure
    if logarithmic := bool((losses > 0).all()):
        figure.update_yaxes(type="log", dtick="D2")
    shown = np.log10(losses) if logarithmic else losses
    low, usual, highest = (float(value) for value in (shown.min(), np.percentile(shown, 95), shown.max()))
    if highest - low <= MOST_ABOVE_USUAL * (usual - low) or usual == low:
        return figure
    room = 0.05 * (usual - low)
    top = usual + 5 * room
    above = int((shown > top).sum())
    figure.update_yaxes(range=[low - room, top])
    note = f"{above} value{'s' * (above > 1)} above, up to {losses.max():.3g}"
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
    """Plot PSNR over hidden pixels of the preview tiles against hours of training.

    Dashed: the fill that the network starts from.
    """
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
            name=f"{name}: fill",
            marker={"symbol": "line-ew-open"},
            line=dashed,
        )
    _style(figure, "hours of training", "PSNR of hidden pixels (dB)")
    return figure.update_xaxes(rangemode="tozero")


def tile_strip(sheets: Sequence[NDArray[np.uint8]], tile: int = 0) -> NDArray[np.uint8]:
    """Cut one tile from previews of a run (`Previews`): the original, then what was predicted at each step.

    sheets: (4s, ns, 3) each, rows truth, masked, predicted and pasted. Returns (s, w, 4),
    transparent between the tiles.
    """
    side = sheets[0].shape[0] // 4
    across = slice(tile * side, (tile + 1) * side)
    cells = [sheets[0][:side, across], *(sheet[2 * side : 3 * side, across] for sheet in sheets)]
    gap = max(2, side // 16)
    spaced = np.zeros((side, len(cells) * (side + gap) - gap, 4), np.uint8)
    for number, cell in enumerate(cells):
        start = number * (side + gap)
        spaced[:, start : start + side] = np.dstack([cell, np.full(cell.shape[:2], 255, np.uint8)])
    return spaced


def _style(figure: go.Figure, across: str, up: str) -> go.Figure:
    axis = {"gridcolor": GRID, "zeroline": False, "color": TEXT}
    return style_chart(
        figure, 320, {"y": 1.1}, margin={"l": 50, "r": 10, "t": 10, "b": 40},
        xaxis={**axis, "title": {"text": across}}, yaxis={**axis, "title": {"text": up}},
    )  # fmt: skip
