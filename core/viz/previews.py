"""Small figures of results for notebooks: a tile, a mask, a reconstruction, a scale series, a table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..atlas import EmbeddingTable
from ..engine.results import Reconstruction
from ..engine.scales import ScaleSeries
from ..geo import for_eye
from ..geo.tile import Tile
from ..masking import Mask
from ..units import metres
from .pictures import Panel, cover, panels, stretch_of
from .theme import SERIES, TEXT

PANEL_INCHES = 2.1
MAP_INCHES = (5.6, 3.0)
MOST_POINTS = 20_000


def tile_figure(tile: Tile) -> Figure:
    """Draw a tile as the eye sees it; pixels without data are covered."""
    return _row([(cover(for_eye(tile), ~tile.valid), "")], 1.4)


def mask_figure(mask: Mask) -> Figure:
    """Draw hidden patches dark and visible ones light."""
    pixels = np.full((*mask.hidden.shape, 3), 238, np.uint8)
    return _row([(cover(pixels, mask.hidden), "")], grid=mask.hidden.shape)


def reconstruction_figure(result: Reconstruction) -> Figure:
    """Draw the original, the visible patches, both bands, and the reconstruction."""
    chosen = [panel for panel in panels(result) if panel.name != "pasted"]
    return _row([(panel.pixels, _titled(panel)) for panel in chosen])


def series_figure(series: ScaleSeries) -> Figure:
    """Draw the visible patches and the reconstruction at every scale, finest first, with one stretch."""
    stretch = stretch_of(series.own)
    figure = Figure(
        figsize=(PANEL_INCHES * 0.8 * len(series.scales), PANEL_INCHES * 1.8), layout="constrained"
    )
    grid = figure.subplots(2, len(series.scales), squeeze=False)
    pairs = zip(series.scales, series.reconstructions, strict=True)
    for column, (scale, result) in enumerate(pairs):
        seen = cover(stretch.draw(result.target), result.hidden_high)
        _show(grid[0, column], seen, f"{metres(scale.gsd_m)}\n{result.recipe.input_px} px")
        _show(grid[1, column], stretch.draw(result.combined), "")
    return figure


def table_figure(table: EmbeddingTable, highlighted: Sequence[int] | NDArray[np.int64] = ()) -> Figure:
    """Draw the places of a table on a map in degrees; `highlighted` rows are orange. At most MOST_POINTS."""
    lon, lat = table.lonlat.T
    rows = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    rows = rows[:: -(-len(rows) // MOST_POINTS) or 1]
    figure = Figure(figsize=MAP_INCHES, layout="constrained")
    axes = figure.subplots()
    size = float(np.clip(4000 / max(len(rows), 1), 2, 16))
    axes.scatter(lon[rows], lat[rows], s=size, c=SERIES[0], linewidths=0)
    marked = np.asarray(highlighted, np.int64)
    axes.scatter(lon[marked], lat[marked], s=3 * size, c=SERIES[1], linewidths=0)
    axes.set_xlabel("longitude (degrees)", fontsize=8)
    axes.set_ylabel("latitude (degrees)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(color="0.85", linewidth=0.5)
    if len(rows):
        middle = float(np.clip(np.median(lat[rows]), -80, 80))
        axes.set_aspect(1 / np.cos(np.radians(middle)), adjustable="datalim")
    return figure


def _titled(panel: Panel) -> str:
    return "\n".join((panel.title, *textwrap.wrap(panel.note, 26)))


def _row(
    pictures: Sequence[tuple[NDArray[np.uint8], str]],
    scale: float = 1.0,
    grid: tuple[int, ...] | None = None,
) -> Figure:
    side = PANEL_INCHES * scale
    figure = Figure(figsize=(side * len(pictures), side), layout="constrained")
    for axes, (pixels, title) in zip(
        figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True
    ):
        _show(axes, pixels, title)
        if grid is not None:
            axes.set_xticks(np.arange(grid[1] - 1) + 0.5)
            axes.set_yticks(np.arange(grid[0] - 1) + 0.5)
            axes.grid(color="0.6", linewidth=0.4)
            axes.tick_params(length=0, labelbottom=False, labelleft=False)
    return figure


def _show(axes: Any, pixels: NDArray[np.uint8], title: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(title, fontsize=6.5, color=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])
