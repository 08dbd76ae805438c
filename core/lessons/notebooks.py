"""Lessons as notebooks, cell for cell: text, prediction, controls, the code that measures, check,
explanation."""

from __future__ import annotations

from typing import Any

from .questions import Choice, Number, Patches, Place, Question, Ranking
from .source import source_of
from .spec import Lesson
from .terms import TERMS

MODEL = "scale_mae_tiny"


def notebook(lesson: Lesson, number: int) -> dict[str, Any]:
    """Write a lesson as a notebook (nbformat 4.5), not executed."""
    words = "\n".join(f"- **{term}**: {TERMS[term]}." for term in lesson.terms)
    measured = source_of(lesson.measure)
    cells = [
        _text(f"# {number}. {lesson.title}\n\n{' '.join(lesson.prose)}\n\n{words}"),
        _code(
            "import sys\n\n"
            "sys.path.insert(0, '../..')  # the root of the project\n\n"
            "from core.lessons.bench import Bench\n"
            "from core.lessons.course import find_lesson\n"
            "from core.lessons.printed import figure_of\n"
            "from core.lessons.spec import check\n\n"
            f"lesson = find_lesson({lesson.id!r})\n"
            f"bench = Bench({MODEL!r})\n"
            "figure_of(lesson.setup(bench))"
        ),
        _text(f"## Predict\n\n{lesson.ask}"),
        _code(f"prediction = lesson.question.read({example(lesson.question)!r})  # replace it with yours"),
        _text(f"## Try it\n\n{lesson.try_this}"),
        _code(
            f"found = lesson.explore(bench{''.join(f', {k}={v!r}' for k, v in lesson.start().items())})\n"
            "print(lesson.describe(found))\n"
            "figure_of(found)"
        ),
        _text("## Measure\n\nThis is the code that the page runs; change it and run it again."),
        _code(measured),
        _code(f"found = {lesson.measure.__name__}(bench)\nfigure_of(found)"),
        _text("## Check"),
        _code(
            "result = check(lesson, found, prediction)\n"
            "print('Right.' if result.right else 'Not quite.', result.how_near)\n"
            "print(result.says)\n"
            "print(result.warning)"
        ),
        _text(
            f"## Why\n\n{lesson.debrief}\n\n### Go deeper\n\n{lesson.deeper.text}\n\n"
            f"$${lesson.deeper.equation}$$\n\n{lesson.deeper.paper}"
        ),
    ]
    for n, cell in enumerate(cells):
        cell["id"] = f"{lesson.id}-{n}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def example(question: Question) -> Any:
    """A prediction that is allowed, to start from."""
    match question:
        case Number():
            return round((question.low + question.high) / 2, 2)
        case Choice():
            return question.options[0]
        case Ranking():
            return question.options
        case Patches():
            return [(0, column) for column in range(question.least)]
        case Place():
            return "Alice Springs"


def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def _code(source: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines}
