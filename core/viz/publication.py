"""The figure for print: the panels, scores and the recipe, drawn with matplotlib without global state."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import Any

from matplotlib.figure import Figure

from ..engine.results import Reconstruction
from ..judge import FILL_NAMES, Verdict
from ..units import decibels
from .pictures import Pixels, panels
from .theme import PRINT_TEXT, TEXT

WIDTH_INCHES = 7.2
"""The width of two journal columns."""


def publication(result: Reconstruction, verdict: Verdict, title: str = "") -> Figure:
    """Draw the panels in two rows, with the scores over hidden pixels and the recipe below."""
    shown = panels(result)
    columns = (len(shown) + 1) // 2
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * (2 / columns + 0.16)), layout="constrained")
    grid = figure.subplots(2, columns)
    for axes, panel in zip_longest(grid.flat, shown):
        if panel is None:
            axes.set_axis_off()
        else:
            _show(axes, panel.pixels, panel.title, "\n".join(textwrap.wrap(panel.note, 30)))
    if title:
        figure.suptitle(title, fontsize=11)
    figure.supxlabel(f"{_scores(verdict)}\n{_caption(result)}", fontsize=6.5, color=PRINT_TEXT)
    return figure


def _show(axes: Any, pixels: Pixels, title: str, note: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(note, fontsize=7, color=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])


def _scores(verdict: Verdict) -> str:
    fills = ", ".join(
        f"{FILL_NAMES[name].lower()} {decibels(scores.psnr, 1)}" for name, scores in verdict.fills.items()
    )
    return (
        f"PSNR over hidden pixels: {decibels(verdict.model.psnr, 1)}, SSIM {verdict.model.ssim:.2f} ({fills})"
    )


def _caption(result: Reconstruction) -> str:
    credit = f" · {result.recipe.credit}" if result.recipe.credit else ""
    return "\n".join(textwrap.wrap(result.recipe.caption() + credit, 120))
