"""Interactive Plotly charts of the Mask Lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ..judge import FILL_NAMES
from .chart import style_chart
from .theme import FILLS, GRID, MODEL


def ratio_chart(ratios: Sequence[float], psnr: Mapping[str, Sequence[float]], model: str) -> go.Figure:
    """Plot PSNR over hidden pixels against the mask ratio.

    `psnr` maps "model" and the names of fills to their values.
    """
    figure = go.Figure()
    for name, values in psnr.items():
        own = name == "model"
        line = {
            "color": MODEL if own else FILLS[name],
            "width": 3 if own else 1.6,
            "dash": "solid" if own else "dot",
        }
        label = model if own else FILL_NAMES[name]
        figure.add_scatter(
            x=[100 * r for r in ratios], y=list(values), mode="lines+markers", name=label, line=line
        )
    figure.update_xaxes(title="mask ratio, %", range=[0, 100], gridcolor=GRID)
    figure.update_yaxes(title="PSNR, dB", gridcolor=GRID)
    return style_chart(figure, 320, {"y": 1.12}, hovermode="x unified")
