"""The figure for print, drawn with matplotlib without global state, and its LaTeX code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from matplotlib.figure import Figure

from ..engine.results import Reconstruction
from ..judge import FILL_NAMES, Verdict
from ..units import decibels
from .pictures import Panel, panels
from .theme import PRINT_TEXT, TEXT

WIDTHS_MM = {
    "page": 183.0,
    "column": 89.0,
    "ieee-page": 181.9,
    "ieee-column": 88.9,
    "elsevier-page": 190.0,
    "elsevier-column": 90.0,
    "cvpr-page": 174.6,
    "cvpr-column": 82.6,
}
"""Widths of figures in print, from the authors' guides; "page" and "column" are those of Nature."""

NARROWEST_MM, WIDEST_MM = 60.0, 420.0
MM_PER_INCH = 25.4
FONTS: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
}
"""The font that comes with matplotlib, embedded in PDF as TrueType and drawn as outlines in SVG, so that a
figure looks the same everywhere and passes the checks of publishers (no Type 3 fonts)."""

CAPTION_PT = 6.5
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "·": r"\textperiodcentered{}",
    "×": r"\texttimes{}",
    "°": r"\textdegree{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def publication(
    result: Reconstruction,
    verdict: Verdict,
    title: str = "",
    *,
    width_mm: float = WIDTHS_MM["page"],
    captioned: bool = True,
) -> Figure:
    """Draw the panels with the scores over hidden pixels and the recipe below, `width_mm` wide.

    Without `captioned`, scores and recipe are left out, for a caption of the document (`latex_figure`).
    """
    shown = panels(result)
    columns = 3 if width_mm < 130 else (len(shown) + 1) // 2
    rows, panel_mm = -(-len(shown) // columns), width_mm / columns
    width = width_mm / MM_PER_INCH
    lines = (_scores(verdict), result.recipe.caption() + _credit(result)) if captioned else ()
    text = "\n".join(wrapped(line, width_mm, CAPTION_PT) for line in lines)
    height = width / columns * rows + 0.42 * rows + 0.11 * (text.count("\n") + 1) * captioned
    figure = Figure(figsize=(width, height), layout="constrained")
    _draw_panels(figure, shown, rows, columns, panel_mm)
    if title:
        figure.suptitle(title, fontsize=11 if width_mm >= 130 else 9)
    if captioned:
        figure.supxlabel(text, fontsize=CAPTION_PT, color=PRINT_TEXT)
    return figure


def panel_figure(
    shown: Sequence[Panel], columns: int = 4, *, caption: str = "", width_mm: float = 240.0
) -> Figure:
    """Draw any panels in rows of `columns`, with a caption below: for notebooks and slides."""
    rows, panel_mm, width = -(-len(shown) // columns), width_mm / columns, width_mm / MM_PER_INCH
    text = wrapped(caption, width_mm, CAPTION_PT + 1)
    height = (width / columns + 0.5) * rows + (0.15 * (text.count("\n") + 1) if text else 0.0)
    figure = Figure(figsize=(width, height), layout="constrained")
    _draw_panels(figure, shown, rows, columns, panel_mm)
    if text:
        figure.supxlabel(text, fontsize=CAPTION_PT + 1, color=PRINT_TEXT)
    return figure


def _draw_panels(figure: Figure, shown: Sequence[Panel], rows: int, columns: int, panel_mm: float) -> None:
    for axes, panel in zip_longest(figure.subplots(rows, columns, squeeze=False).flat, shown):
        if panel is None:
            axes.set_axis_off()
        else:
            draw_panel(axes, panel, panel_mm)


def draw_panel(axes: Any, panel: Panel, panel_mm: float, *, titled: bool = True) -> None:
    """Draw one panel, `panel_mm` wide on paper, with its title above and its note below."""
    title_pt, note_pt = max(5.5, min(9.0, panel_mm / 4.6)), max(5.0, min(7.0, panel_mm / 6))
    axes.imshow(panel.pixels, interpolation="nearest")
    if titled:
        axes.set_title(wrapped(panel.title, panel_mm, title_pt), fontsize=title_pt)
    axes.set_xlabel(wrapped(panel.note, panel_mm, note_pt), fontsize=note_pt, color=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])


def wrapped(text: str, width_mm: float, size_pt: float) -> str:
    """Break text into lines that fit `width_mm` at a font size, a letter being 0.6 of it wide on average."""
    return "\n".join(textwrap.wrap(text, max(8, int(width_mm / (0.6 * size_pt * MM_PER_INCH / 72)))))


def latex_figure(result: Reconstruction, verdict: Verdict, file: str, *, page_wide: bool = True) -> str:
    """Return LaTeX code that includes `file` with a caption: what is shown, scores, recipe and credit.

    `page_wide` spans both columns of a two-column document. Needs the package graphicx only.
    """
    recipe = result.recipe
    shown = ", ".join(panel.title.lower() for panel in panels(result))
    caption = (
        f"Masked reconstruction of {recipe.source}/{recipe.key}: {shown}. {_scores(verdict)}. "
        f"Recipe: {recipe.caption()}{_credit(result)}."
    )
    environment, width = ("figure*", r"\textwidth") if page_wide else ("figure", r"\columnwidth")
    label = re.sub(r"[^a-z0-9]+", "-", file.rpartition("/")[2].rpartition(".")[0].lower()).strip("-")
    return "\n".join(
        (
            rf"\begin{{{environment}}}[t]",
            r"  \centering",
            rf"  \includegraphics[width={width}]{{{file}}}",
            rf"  \caption{{{latex_text(caption)}}}",
            rf"  \label{{fig:{label or 'figure'}}}",
            rf"\end{{{environment}}}",
            "",
        )
    )


def latex_text(text: str) -> str:
    """Return plain text with every character that LaTeX reads as code escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def _scores(verdict: Verdict) -> str:
    fills = ", ".join(
        f"{FILL_NAMES[name][0].lower()}{FILL_NAMES[name][1:]} {decibels(scores.psnr, 1)}"
        for name, scores in verdict.fills.items()
    )
    return (
        f"PSNR over hidden pixels: {decibels(verdict.model.psnr, 1)}, SSIM {verdict.model.ssim:.2f} ({fills})"
    )


def _credit(result: Reconstruction) -> str:
    return f" · {result.recipe.credit}" if result.recipe.credit else ""
