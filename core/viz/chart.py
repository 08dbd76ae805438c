"""One small chart as data, drawn by Plotly on a page and by Matplotlib in print."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import plotly.graph_objects as go

from .sheet import data_url
from .theme import CLEAR, GRID, ON_MODEL, SERIES, TEXT

DASHES = ("solid", "dot", "dash", "dashdot")
MARKERS = ("circle", "square", "diamond", "cross")
_PRINTED_DASHES = ("-", ":", "--", "-.")
LETTERS = 85
"""How many letters of a tick's size fit below an axis as wide as a sheet of paper."""
_PRINTED_MARKERS = ("o", "s", "D", "X")


@dataclass(frozen=True)
class Series:
    """One line, set of bars or set of points: its name and values."""

    name: str
    y: tuple[float, ...]
    x: tuple[float | str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart: axis titles, series, how they are drawn, and a logarithmic x axis if `log_x`.

    describe: what the chart shows, for screen readers. mark: an x value to draw a line at. earth: a JPEG of
    the whole Earth in plate carrée to draw below points whose x and y are longitude and latitude.
    """

    x: str
    y: str
    series: tuple[Series, ...]
    describe: str
    kind: Literal["lines", "bars", "points"] = "lines"
    log_x: bool = False
    mark: float | None = None
    earth: bytes = b""


def plotly_chart(chart: Chart, height: int = 300) -> go.Figure:
    """Draw the chart for a page. Series differ in dash or marker too, not in colour alone."""
    figure = go.Figure()
    for n, series in enumerate(chart.series):
        colour = SERIES[n % len(SERIES)]
        if chart.kind == "bars":
            figure.add_bar(x=list(series.x), y=list(series.y), name=series.name, marker={"color": colour})
            continue
        figure.add_scatter(
            x=list(series.x),
            y=list(series.y),
            name=series.name,
            mode="markers" if chart.kind == "points" else "lines+markers",
            line={"color": colour, "dash": DASHES[n % len(DASHES)], "width": 2.5 if n == 0 else 1.8},
            marker={"symbol": MARKERS[n % len(MARKERS)], "size": 7},
        )
    if chart.mark is not None:
        figure.add_vline(x=chart.mark, line={"color": TEXT, "dash": "dot", "width": 1.5})
    if chart.earth:
        figure.add_layout_image(
            source=data_url("", chart.earth), xref="x", yref="y", x=-180, y=90, sizex=360, sizey=180,
            sizing="stretch", layer="below",
        )  # fmt: skip
        figure.update_xaxes(range=[-180, 180], showgrid=False, constrain="domain")
        figure.update_yaxes(range=[-90, 90], showgrid=False, scaleanchor="x", constrain="domain")
        figure.update_traces(marker={"line": {"color": ON_MODEL, "width": 1}})
    figure.update_xaxes(title=chart.x, gridcolor=GRID, type="log" if chart.log_x else None)
    figure.update_yaxes(title=chart.y, gridcolor=GRID, zeroline=False)
    return style_chart(figure, height, {"y": 1.14}, showlegend=len(chart.series) > 1)


def style_chart(figure: go.Figure, height: int, legend: dict[str, Any], **layout: Any) -> go.Figure:
    """Give a chart a clear background, narrow margins and a horizontal legend; `layout` wins over these."""
    plain: dict[str, Any] = {
        "height": height, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}, "font": {"color": TEXT},
        "legend": {"orientation": "h", **legend}, "paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR,
    }  # fmt: skip
    return figure.update_layout({**plain, **layout})


def draw_chart(axes: Any, chart: Chart) -> None:
    """Draw the chart on Matplotlib axes, readable without colour."""
    for n, series in enumerate(chart.series):
        colour = SERIES[n % len(SERIES)]
        if chart.kind == "bars":
            wide = 0.8 / len(chart.series)
            at = [place + (n - (len(chart.series) - 1) / 2) * wide for place in range(len(series.x))]
            axes.bar(at, series.y, wide, label=series.name, color=colour)
            letters = round(LETTERS / len(series.x))
            names = ["\n".join(textwrap.wrap(str(x), letters)) for x in series.x]
            axes.set_xticks(range(len(series.x)), names)
        else:
            axes.plot(
                series.x,
                series.y,
                linestyle="none" if chart.kind == "points" else _PRINTED_DASHES[n % 4],
                marker=_PRINTED_MARKERS[n % 4],
                markersize=3.5,
                label=series.name,
                color=colour,
            )
    if chart.earth:
        earth = cv2.imdecode(np.frombuffer(chart.earth, np.uint8), cv2.IMREAD_COLOR_RGB)
        axes.imshow(earth, extent=(-180, 180, -90, 90), zorder=0)
    if chart.log_x:
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if chart.mark is not None:
        axes.axvline(chart.mark, color=TEXT, linestyle=":")
    axes.set_xlabel(chart.x, fontsize=8)
    axes.set_ylabel(chart.y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if len(chart.series) > 1:
        axes.legend(fontsize=7)
