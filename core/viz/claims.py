"""Figures of the papers' claims: our two arms with intervals, and the paper's numbers apart."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..evaluation.claims import ArmComparison, Claim, Measured, Statement
from .chart import style_chart
from .theme import FILLS, GRID, MODEL, SERIES

OURS, OTHER, FLOOR = MODEL, SERIES[1], FILLS["visible_mean"]
SETS = {"eurosat": "EuroSAT", "ucmerced": "UC Merced", "harvey": "Harvey"}
POOLED = {"cls": "CLS", "mean": "the mean"}
HEIGHT, LEGEND_ROW, ROW = 330, 22, 42


def claim_figure(claim: Claim) -> go.Figure:
    """Plot the accuracy of both arms with 95 % intervals, over relative scales or with one row per protocol.

    The dotted line, or the tick in a row, is the accuracy of a colour histogram.
    """
    scaled = [row for row in claim.comparisons if row.scale is not None]
    if len({row.scale for row in scaled}) > 1:
        figure = over_scales(claim, scaled)
        return _plain(figure, HEIGHT + LEGEND_ROW * 3 * len({row.data for row in scaled}))
    return _plain(by_row(claim, scaled), max(HEIGHT, 150 + ROW * len(scaled)))


def over_scales(claim: Claim, rows: Sequence[ArmComparison]) -> go.Figure:
    """Plot one line per arm and data set over relative scales."""
    figure, statement = go.Figure(), claim.statement
    for number, data in enumerate(dict.fromkeys(row.data for row in rows)):
        members = sorted((row for row in rows if row.data == data), key=lambda row: row.scale or 0)
        x = [100 * (row.scale or 1) for row in members]
        dash, dots = (("solid", "dot"), ("dash", "dashdot"), ("longdash", "longdashdot"))[number % 3]
        suffix = f", {SETS.get(data, data)}" if len({row.data for row in rows}) > 1 else ""
        for label, colour, values in (
            (statement.ours, OURS, [r.ours for r in members]),
            (statement.other, OTHER, [r.other for r in members]),
        ):
            figure.add_scatter(
                x=x,
                y=[100 * m.value for m in values],
                error_y=_spread(values),
                mode="lines+markers",
                name=label + suffix,
                line={"color": colour, "dash": dash, "width": 2.5},
                marker={"size": 8},
            )
        if all(row.floor is not None for row in members):
            floor = [100 * (row.floor or 0) for row in members]
            figure.add_scatter(
                x=x,
                y=floor,
                mode="lines",
                name="colour histogram" + suffix,
                line={"color": FLOOR, "dash": dots, "width": 1.5},
            )
    figure.update_xaxes(
        title="relative scale, % of native size", type="log", tickvals=[12.5, 25, 50, 100], gridcolor=GRID
    )
    figure.update_yaxes(title="kNN accuracy, %", gridcolor=GRID)
    return figure


def by_row(claim: Claim, rows: Sequence[ArmComparison]) -> go.Figure:
    """Plot one row per data set, protocol and pooling, with both arms as points with intervals."""
    figure, statement = go.Figure(), claim.statement
    places = list(range(len(rows)))
    for label, colour, values, shift in (
        (statement.ours, OURS, [r.ours for r in rows], -0.13),
        (statement.other, OTHER, [r.other for r in rows], 0.13),
    ):
        figure.add_scatter(
            x=[100 * m.value for m in values],
            y=[place + shift for place in places],
            error_x=_spread(values),
            mode="markers",
            name=label,
            marker={"color": colour, "size": 10},
            customdata=[" / ".join(dict.fromkeys(r.pooling)) for r in rows],
            hovertemplate="%{x:.1f} %, pooling %{customdata}",
        )
    floors = [
        (100 * row.floor, place) for place, row in zip(places, rows, strict=True) if row.floor is not None
    ]
    if floors:
        mark = {"symbol": "line-ns-open", "size": 20, "color": FLOOR}
        figure.add_scatter(
            x=[x for x, _ in floors],
            y=[y for _, y in floors],
            mode="markers",
            name="colour histogram",
            marker=mark,
        )
    figure.update_xaxes(title="accuracy, %", gridcolor=GRID)
    figure.update_yaxes(
        autorange="reversed",
        tickvals=places,
        ticktext=[_name(row, rows) for row in rows],
        gridcolor=GRID,
        zeroline=False,
    )
    return figure


def paper_figure(statement: Statement) -> go.Figure:
    """Plot the numbers of the paper as hatched bars on an axis of their own."""
    labels = [label for label, _ in statement.paper.rows]
    values = [value for _, value in statement.paper.rows]
    colours = [OURS if label.startswith(statement.paper.method) else OTHER for label in labels]
    bars = go.Bar(
        x=values,
        y=labels,
        orientation="h",
        text=[f"{value:.1f}" for value in values],
        textposition="outside",
        marker={
            "color": colours,
            "opacity": 0.75,
            "pattern": {"shape": "/", "fillmode": "overlay", "solidity": 0.25},
        },
    )
    figure = go.Figure(bars)
    figure.update_xaxes(
        title=f"{statement.paper.measure}, %", range=[0, 109], tickvals=[0, 25, 50, 75, 100], gridcolor=GRID
    )
    figure.update_yaxes(autorange="reversed")
    return _plain(figure, 330)


def _name(row: ArmComparison, rows: Sequence[ArmComparison]) -> str:
    """Name a row by data set, protocol and pooling."""
    how = {"knn": "kNN", "probe": "linear probe"}.get(row.protocol, row.protocol)
    where = f"{SETS.get(row.data, row.data)},<br>" if len({other.data for other in rows}) > 1 else ""
    pooled = row.pooling[0].removeprefix("block11_")
    return f"{where}{how} of {POOLED.get(pooled, pooled)}"


def _spread(values: Sequence[Measured]) -> dict[str, object]:
    above, below = [100 * (m.high - m.value) for m in values], [100 * (m.value - m.low) for m in values]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5}


def _plain(figure: go.Figure, height: int) -> go.Figure:
    margin = {"l": 10, "r": 10, "t": 30, "b": 10}
    return style_chart(figure, height, {"y": 1.05, "yanchor": "bottom", "x": 0}, margin=margin)
