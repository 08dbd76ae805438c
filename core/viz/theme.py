"""Every colour of the figures, readable on light and on dark ground and by colour-blind eyes (Okabe and Ito 2008)."""

from __future__ import annotations

HIDDEN = (99, 115, 123)
"""What covers a hidden patch: a slate that hardly any ground has."""

MODEL = "#0f9488"
TRUTH = "#56B4E9"
FILLS = {"visible_mean": "#999999", "nearest": "#E69F00", "harmonic": "#CC79A7", "telea": "#D55E00"}
SERIES = ("#0f9488", "#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#F0E442", "#0072B2", "#999999")
GRID = "rgba(128,140,148,0.25)"
TEXT = "#7b8a93"
