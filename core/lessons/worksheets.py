"""Worksheets as PDF: pictures, the question, and space to write; the answers in a file of their own."""

from __future__ import annotations

import io
import textwrap
from typing import Any

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from ..viz.chart import draw_chart
from ..viz.theme import PRINT_TEXT
from .bench import Bench
from .questions import Choice, Number, Patches, Place, Ranking
from .spec import Finding, Lesson
from .terms import TERMS

A4_INCHES = (8.27, 11.69)
LEFT, RIGHT, TOP, BOTTOM = 0.09, 0.91, 0.965, 0.045
LINE = 0.0175
RULED = 0.025
"""The distance of lines to write on, as a share of the page: 7 mm."""
NO_BREAK = "\u00a0"
"""A space at which no line ends."""


class _Sheet:
    """One A4 page that is written from top to bottom."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=A4_INCHES)
        self.y = TOP

    def text(self, text: str, size: float = 10.5, *, bold: bool = False, wide: int = 90) -> None:
        """A paragraph."""
        lines = textwrap.wrap(text, round(wide * 10.5 / size * (0.88 if bold else 1))) or [""]
        self.figure.text(
            LEFT, self.y, "\n".join(lines), fontsize=size, va="top", linespacing=1.35,
            fontweight="bold" if bold else "normal",
        )  # fmt: skip
        self.y -= LINE * (size / 10.5) * len(lines) + 0.012

    def lines(self, count: int) -> None:
        """Empty lines to write on."""
        for _ in range(count):
            self.y -= RULED
            self.figure.add_artist(_rule(self.y))
        self.y -= 0.015

    def lines_to_the_end(self, most: int) -> None:
        """As many empty lines as fit above the footer."""
        self.lines(min(most, int((self.y - BOTTOM) / RULED)))

    def pictures(self, found: Finding, numbered: bool = False) -> None:
        """The pictures of a finding, side by side; `numbered` with rows and columns of the patches."""
        shown = found.pictures[:4]
        if not shown:
            return
        wide = min(0.24, (RIGHT - LEFT + 0.02) / len(shown) - 0.02)
        tall = wide * A4_INCHES[0] / A4_INCHES[1]
        titles = [textwrap.wrap(panel.title, round(wide * 115)) for panel in shown]
        self.y -= 0.008 + 0.012 * max(map(len, titles))
        for n, panel in enumerate(shown):
            axes = self.figure.add_axes((LEFT + n * (wide + 0.02), self.y - tall, wide, tall))
            axes.imshow(panel.pixels, interpolation="nearest")
            axes.set_title("\n".join(titles[n]), fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            if numbered and found.grid is not None:
                _number(axes, found.grid.shape, panel.pixels.shape[0])
        self.y -= tall + 0.035

    def chart(self, found: Finding) -> None:
        """The chart of a finding."""
        if found.chart is None:
            return
        axes = self.figure.add_axes((LEFT + 0.05, self.y - 0.22, RIGHT - LEFT - 0.05, 0.19))
        draw_chart(axes, found.chart)
        self.y -= 0.27


def _rule(y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([LEFT, RIGHT], [y, y], color="#999999", linewidth=0.6)


def _number(axes: Any, shape: tuple[int, ...], side: int) -> None:
    """Row and column numbers and thin lines between patches."""
    step = side / shape[0]
    axes.set_xticks([step * (n + 0.5) - 0.5 for n in range(shape[1])], range(1, shape[1] + 1), fontsize=4.5)
    axes.set_yticks([step * (n + 0.5) - 0.5 for n in range(shape[0])], range(1, shape[0] + 1), fontsize=4.5)
    axes.tick_params(length=0)
    for n in range(1, shape[0]):
        axes.axhline(step * n - 0.5, color="white", linewidth=0.3)
        axes.axvline(step * n - 0.5, color="white", linewidth=0.3)


def worksheet(lesson: Lesson, number: int, bench: Bench) -> bytes:
    """Write the worksheet of a lesson as a PDF of one page."""
    sheet = _Sheet()
    sheet.text("Name: ______________________________        Date: ____________", 10)
    sheet.text(f"{number}. {lesson.title}", 16, bold=True)
    sheet.text(" ".join(lesson.prose))
    sheet.text("Words: " + " ".join(f"{term}: {TERMS[term]}." for term in lesson.terms), 8.5)
    sheet.pictures(lesson.setup(bench), numbered=isinstance(lesson.question, Patches))
    sheet.text(f"Predict. {lesson.ask}", bold=True)
    match lesson.question:
        case Choice() | Ranking():
            boxes = (f"[   ] {option}".replace(" ", NO_BREAK) for option in lesson.question.options)
            sheet.text((4 * NO_BREAK + " ").join(boxes))
            if isinstance(lesson.question, Ranking):
                sheet.text("Write 1 for the best, then 2, and so on.", 9)
        case Number():
            sheet.text(f"My prediction: ____________ {lesson.question.unit}")
        case Patches():
            sheet.text("Mark your patches in the picture above.")
        case Place():
            sheet.text("My place: ______________________________")
    sheet.text("Because:", 10)
    sheet.lines(2)
    sheet.text(f"Try. {lesson.try_this} What do you see?", bold=True)
    sheet.lines(2)
    sheet.text("Check. What was measured with the network, and how close were you?", bold=True)
    sheet.lines(2)
    sheet.text("Why is it so? Explain it in your own words.", bold=True)
    sheet.lines_to_the_end(4)
    return _pdf([sheet.figure], lesson.title)


def answer_key(lesson: Lesson, number: int, bench: Bench) -> bytes:
    """Write the answers of a lesson, measured with the network of the bench, as a PDF of one page."""
    found = lesson.measure(bench)
    answer = lesson.conclude(found)
    sheet = _Sheet()
    sheet.text(f"Answers to lesson {number}: {lesson.title}", 16, bold=True)
    sheet.text(f"Measured with {bench.model}. Other networks give other numbers.", 9)
    sheet.text(answer.says, bold=True)
    sheet.pictures(found)
    sheet.chart(found)
    sheet.text(f"What the lesson teaches: {lesson.claim}")
    if not answer.holds:
        sheet.text("With this network the measurement does not show it.", bold=True)
    sheet.text(lesson.debrief)
    sheet.text(f"For experts: {lesson.deeper.text} {lesson.deeper.paper}", 8.5)
    return _pdf([sheet.figure], f"Answers: {lesson.title}")


def _pdf(figures: list[Figure], title: str) -> bytes:
    """Write figures as the pages of a PDF, without the time of writing, so that equal sheets are equal
    files."""
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata={"Title": title, "CreationDate": None}) as pages:
        for figure in figures:
            figure.text(0.5, 0.02, "Earth MAE Explorer", fontsize=7, ha="center", color=PRINT_TEXT)
            pages.savefig(figure)
    return buffer.getvalue()
