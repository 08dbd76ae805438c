"""Every colour of the figures, readable on light and on dark ground and by colour-blind eyes (Okabe and Ito 2008)."""

from __future__ import annotations

import numpy as np

HIDDEN = (99, 115, 123)
"""What covers a hidden patch: a slate that hardly any ground has."""

MODEL = "#0f9488"
TRUTH = "#56B4E9"
FILLS = {"visible_mean": "#999999", "nearest": "#E69F00", "harmonic": "#CC79A7", "telea": "#D55E00"}
SERIES = ("#0f9488", "#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#F0E442", "#0072B2", "#999999")
GRID = "rgba(128,140,148,0.25)"
TEXT = "#7b8a93"
UNKNOWN = "#8a949a"
"""What has no value, class or vector."""
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
"""A run of colours whose lightness grows evenly (van der Walt and Smith 2015)."""
HEAT = ("#1b1044", "#4f127b", "#812581", "#b5367a", "#e55064", "#fb8761", "#fec287", "#fcfdbf")
"""The same for what is sought: dark is unlike, light is like (magma, by the same authors)."""
CLASSES = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#87f096",
    "#870f0f", "#4b3c5a", "#5af0c3", "#5af0ff", "#0096ff", "#87a55a", "#0f3c96", "#693c3c",
)  # fmt: skip
"""Classes: the seven colours of Okabe and Ito, then each time the one that is farthest from all before it for any eye."""


def run_of(anchors: tuple[str, ...], count: int = 64) -> tuple[str, ...]:
    """Colours evenly along a run, "#rrggbb" from low to high."""
    table = np.array([[int(text[at : at + 2], 16) for at in (1, 3, 5)] for text in anchors], np.float64)
    at = np.linspace(0, len(table) - 1, count)
    mixed = np.stack(
        [np.interp(at, np.arange(len(table)), table[:, channel]) for channel in range(3)], axis=1
    )
    return tuple("#{:02x}{:02x}{:02x}".format(*row) for row in np.rint(mixed).astype(int).tolist())


# Text on the pages' own grounds (.streamlit/config.toml), for light and dark: each has a contrast of at least 4.5 there (WCAG 2.2, AA).
QUIET_TEXT = ("#4d5d66", "#a3b3bb")
ON_PRIMARY = ("#ffffff", "#06201d")
"""Text on the primary colour: white on the light theme's dark teal, nearly black on the dark theme's bright one."""
WARNING_TEXT = ("#8f4a00", "#f0b072")
CODE_COLOURS = {
    "keyword": ("#7a2ea0", "#d3a6f0"),
    "string": ("#0b6b3a", "#7ddba3"),
    "number": ("#0b5a8a", "#7cc7f2"),
    "comment": ("#4d5d66", "#a3b3bb"),
    "plain": ("#14232b", "#e4edef"),
}


def by_theme(colours: tuple[str, str]) -> str:
    """A CSS colour that follows the page's theme: the first on a light ground, the second on a dark one."""
    return f"light-dark({colours[0]}, {colours[1]})"
