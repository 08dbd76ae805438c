"""Pictures of patch features: similarity, clusters, attention, and a picture whose patches can be clicked."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from .chart import style_chart
from .pictures import Panel, Pixels, Stretch, heat
from .sheet import jpeg
from .theme import BLACK, WHITE

SHOWN_PX = 224


def picture(image: NDArray[np.float32]) -> Pixels:
    """Draw an image (3, s, s) as fed, stretched to its 1st and 99th percentile."""
    low, high = np.percentile(image, (1, 99))
    return Stretch(float(low), max(float(high), float(low) + 0.1)).draw(image)


def heat_panel(
    image: NDArray[np.float32],
    values: NDArray[np.float32],
    name: str,
    title: str,
    *,
    low: float,
    high: float,
    cell: tuple[int, int] | None,
) -> Panel:
    """Draw the values of patches (g, g) over a grey picture, `low` as black and `high` as pale yellow.

    Frame `cell`.
    """
    base = _shown(picture(image)).mean(axis=2, keepdims=True)
    colours = _shown(heat(np.clip(values - low, 0, None), max(high - low, 1e-6)))
    mixed = (0.35 * base + 0.65 * colours).astype(np.uint8)
    return Panel(
        name,
        title,
        f"{values.min():.2f} to {values.max():.2f}",
        _framed(mixed, cell, len(values)),
        (low, high),
    )


def rgb_panel(values: NDArray[np.float32], name: str, title: str) -> Panel:
    """Draw three features of each patch (g, g, 3) as red, green and blue."""
    return Panel(name, title, "first three components", _shown(np.rint(values * 255).astype(np.uint8)))


def picture_panel(
    image: NDArray[np.float32], name: str, title: str, note: str, cell: tuple[int, int] | None, grid: int
) -> Panel:
    """Draw a picture with one patch framed."""
    return Panel(name, title, note, _framed(_shown(picture(image)), cell, grid))


def click_figure(image: NDArray[np.float32], grid: int, cell: tuple[int, int]) -> go.Figure:
    """Draw a picture whose patches can be clicked (invisible points, one per patch).

    The selected one is framed.
    """
    pixels = _framed(_shown(picture(image)), cell, grid)
    rows, cols = np.divmod(np.arange(grid * grid), grid)
    figure = go.Figure(
        go.Scatter(
            x=cols + 0.5,
            y=rows + 0.5,
            mode="markers",
            marker={"size": 22, "opacity": 0.01, "symbol": "square"},
            hovertemplate="row %{customdata[0]}, column %{customdata[1]}<extra></extra>",
            customdata=np.stack([rows, cols], 1).tolist(),
        )
    )
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels)).decode()}"
    figure.add_layout_image(
        source=source, x=0, y=0, sizex=grid, sizey=grid, xref="x", yref="y", sizing="stretch", layer="below"
    )
    axis: dict[str, Any] = {"visible": False, "fixedrange": True}
    figure.update_xaxes(range=[0, grid], **axis)
    figure.update_yaxes(range=[grid, 0], scaleanchor="x", **axis)
    margin = dict.fromkeys("lrtb", 0)
    return style_chart(figure, 320, {}, margin=margin, dragmode=False, clickmode="event+select")


def _shown(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.resize(pixels, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_NEAREST), np.uint8)


def _framed(pixels: Pixels, cell: tuple[int, int] | None, grid: int) -> Pixels:
    if cell is None:
        return pixels
    step, framed = pixels.shape[0] / grid, np.ascontiguousarray(pixels)
    (top, left), (bottom, right) = (
        (round(i * step) for i in cell),
        (round((i + 1) * step) - 1 for i in cell),
    )
    cv2.rectangle(framed, (left, top), (right, bottom), BLACK, 4)
    cv2.rectangle(framed, (left, top), (right, bottom), WHITE, 2)
    return framed
