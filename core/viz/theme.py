"""Every colour of the figures, for light and dark themes and colour-blind readers (Okabe and Ito 2008)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIDDEN = (99, 115, 123)
"""Covers hidden patches: a slate grey that is rare in imagery."""

MODEL = "#0f9488"
TRUTH = "#56B4E9"
FILLS = {"visible_mean": "#999999", "nearest": "#E69F00", "harmonic": "#CC79A7", "telea": "#D55E00"}
SERIES = ("#0f9488", "#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#F0E442", "#0072B2", "#999999")
GRID = "rgba(128,140,148,0.25)"
FAINT = "rgba(128,140,148,0.06)"
ON_MODEL = "white"
"""Text on the colour MODEL."""
TEXT = "#7b8a93"
UNKNOWN = "#8a949a"
"""For rows without a value, class or vector."""
CLEAR = "rgba(0,0,0,0)"
WHITE, BLACK, MID_GREY = (255, 255, 255), (0, 0, 0), 128
PRINT_TEXT = "#444444"
"""Text of the printed figure, on white."""
PLACEHOLDER = "rgba(127,140,148,.15)"
"""Shown until a picture has loaded."""
MAP_GROUND = {"light": "#eef3f3", "dark": "#0d171c"}
MAP_LEGEND = {"light": ("rgba(255,255,255,.92)", "#14232b"), "dark": ("rgba(22,36,43,.92)", "#e4edef")}
"""Background and text of the layer switches on a map."""
OUTLINE = (255, 255, 255, 170)
"""Footprints drawn as outlines, with alpha."""
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
"""Perceptually uniform colour map (van der Walt and Smith 2015)."""
HEAT = ("#1b1044", "#4f127b", "#812581", "#b5367a", "#e55064", "#fb8761", "#fec287", "#fcfdbf")
"""Similarity, from dark (different) to light (similar): magma, by the same authors."""
ERROR = (
    "#000004", "#0b0724", "#210c4a", "#3d0965", "#57106e", "#71196e", "#8a226a", "#a32c61", "#bc3754",
    "#d04545", "#e35933", "#f1711f", "#f98c0a", "#fcaa0f", "#f9c932", "#f2e865", "#fcffa4",
)  # fmt: skip
"""Errors and other magnitudes, from black to pale yellow: inferno, by the same authors."""
CLASSES = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#87f096",
    "#870f0f", "#4b3c5a", "#5af0c3", "#5af0ff", "#0096ff", "#87a55a", "#0f3c96", "#693c3c",
)  # fmt: skip
"""Classes: seven colours of Okabe and Ito, then always the one farthest from all before it."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the three channels of "#rrggbb", 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def colour_table(anchors: tuple[str, ...], count: int = 256) -> NDArray[np.uint8]:
    """Interpolate a colour map to `count` colours (count, 3), from low to high."""
    table = np.array([rgb(anchor) for anchor in anchors], np.float64)
    at = np.linspace(0, len(table) - 1, count)
    mixed = [np.interp(at, np.arange(len(table)), table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(mixed, axis=1)).astype(np.uint8)


def colour_map(anchors: tuple[str, ...], count: int = 64) -> tuple[str, ...]:
    """Interpolate a colour map to `count` colours as "#rrggbb", from low to high."""
    return tuple("#{:02x}{:02x}{:02x}".format(*row) for row in colour_table(anchors, count).tolist())


# Text on the pages' backgrounds (.streamlit/config.toml), for the light and the dark theme. Each has a
# contrast of at least 4.5 there (WCAG 2.2, AA).
QUIET_TEXT = ("#4d5d66", "#a3b3bb")
ON_PRIMARY = ("#ffffff", "#06201d")
"""Text on the primary colour: white on dark teal (light theme), nearly black on bright teal (dark theme)."""
WARNING_TEXT = ("#8f4a00", "#f0b072")
CODE_COLOURS = {
    "keyword": ("#7a2ea0", "#d3a6f0"),
    "string": ("#0b6b3a", "#7ddba3"),
    "number": ("#0b5a8a", "#7cc7f2"),
    "comment": ("#4d5d66", "#a3b3bb"),
    "plain": ("#14232b", "#e4edef"),
}


def by_theme(colours: tuple[str, str]) -> str:
    """Return a CSS colour that follows the theme of the page: the first for light, the second for dark."""
    return f"light-dark({colours[0]}, {colours[1]})"
