"""Findings as Matplotlib figures, for notebooks and worksheets."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..viz.chart import draw_chart
from .spec import Finding

WIDTH_INCHES = 7.2
MOST_ABREAST = 4


def figure_of(found: Finding) -> Figure:
    """Draw the pictures of a finding side by side, and its chart below."""
    count = len(found.pictures)
    rows = -(-count // MOST_ABREAST)
    abreast = min(count, MOST_ABREAST) or 1
    tall = rows * (WIDTH_INCHES / MOST_ABREAST + 0.5) + (2.4 if found.chart else 0)
    figure = Figure(
        figsize=(
            WIDTH_INCHES * max(abreast, 2) / MOST_ABREAST if not found.chart else WIDTH_INCHES,
            tall or 0.5,
        )
    )
    figure.set_layout_engine("constrained")
    parts = figure.subfigures(rows + bool(found.chart), 1, squeeze=False)[:, 0] if tall else []
    for row, part in enumerate(parts[:rows]):
        places = part.subplots(1, abreast, squeeze=False)[0]
        for axes, panel in zip(places, found.pictures[row * abreast :], strict=False):
            axes.imshow(panel.pixels, interpolation="nearest")
            axes.set_title(panel.title, fontsize=8)
            axes.set_xlabel(panel.note, fontsize=6.5)
            axes.set_xticks([])
            axes.set_yticks([])
        for axes in places[max(0, count - row * abreast) :]:
            axes.set_axis_off()
    if found.chart is not None:
        draw_chart(parts[-1].subplots(), found.chart)
    return figure
