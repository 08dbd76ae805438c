"""Pictures that several lessons show: tiles, masks, heat maps and numbered patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction, enlarge
from ..viz.pictures import Panel, Stretch, cover, draw_residual, gain_of, heat, stretch_of

BLUE_MARBLE = Stretch(0.0, 0.85)
"""One stretch for all crops of the Blue Marble, so that ice stays white and forest dark."""

SHOWN_PX = 224
"""Side of every picture, so that all of them compare."""


def per_patch(values: NDArray[Any], grid: int) -> NDArray[np.float64]:
    """The mean of (s, s) values over each of grid x grid patches."""
    side = values.shape[-1] // grid
    return values.reshape(grid, side, grid, side).mean(axis=(1, 3)).astype(np.float64)


def squared_error(made: Reconstruction) -> NDArray[np.float64]:
    """Squared error of every pixel at the input's size, mean over channels: (s, s)."""
    return ((np.clip(made.at_input, 0, 1) - made.input) ** 2).mean(axis=0)


def tile_panel(made: Reconstruction, name: str = "original", title: str = "The tile") -> Panel:
    """The tile itself."""
    note = f"{made.recipe.ground} per pixel as fed"
    return Panel(name, title, note, stretch_of(made).draw(made.target))


def masked_panel(made: Reconstruction) -> Panel:
    """What the network sees."""
    pixels = cover(stretch_of(made).draw(made.target), made.hidden_high)
    return Panel("masked", "Visible patches", f"{made.recipe.hidden_share:.0%} hidden", pixels)


def guess_panel(made: Reconstruction, note: str = "visible patches from the tile") -> Panel:
    """The reconstruction, with the true visible patches."""
    return Panel("pasted", "What the network predicts", note, stretch_of(made).draw(made.pasted))


def band_panels(made: Reconstruction) -> tuple[Panel, Panel]:
    """The low and the high band that the network predicts."""
    side, gain = made.combined.shape[-1], gain_of(made)
    low = enlarge(stretch_of(made).draw(made.low).transpose(2, 0, 1), side).transpose(1, 2, 0)
    return (
        Panel("low", "Low frequencies, predicted", "the smooth part", low),
        Panel(
            "high",
            "High frequencies, predicted",
            f"detail, mid-grey is zero, × {gain}",
            draw_residual(made.high, gain),
        ),
    )


def image_panel(
    image: NDArray[np.float32], name: str, title: str, note: str, stretch: Stretch | None = None
) -> Panel:
    """An image (3, s, s) in 0..1, stretched to its own 1st and 99th percentile unless `stretch` is given."""
    if stretch is None:
        low, high = (float(v) for v in np.percentile(image[np.isfinite(image)], (1, 99)))
        stretch = Stretch(low, max(high, low + 0.1))
    pixels = stretch.draw(np.nan_to_num(image))
    times = max(1, SHOWN_PX // pixels.shape[0])
    return Panel(name, title, note, pixels.repeat(times, axis=0).repeat(times, axis=1))


def grid_panel(grid: NDArray[np.float64], name: str, title: str, note: str) -> Panel:
    """Values per patch (rows, cols) as a heat map, NaN black."""
    values = np.nan_to_num(grid, nan=0.0)
    pixels = heat(values, max(float(values.max()), 1e-9))
    times = max(1, SHOWN_PX // pixels.shape[0])
    return Panel(name, title, note, pixels.repeat(times, axis=0).repeat(times, axis=1))
