"""Notebooks and worksheets are generated from the same lessons as the page."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from core.lessons import worksheets
from core.lessons.bench import Bench
from core.lessons.course import LESSONS, find_lesson
from core.lessons.notebooks import notebook
from core.lessons.source import source_of
from core.lessons.spec import Lesson
from core.lessons.worksheets import answer_key, worksheet
from core.viz.chart import Chart, Series, draw_chart
from tests.thorough import a_few

NOTEBOOKS = Path(__file__).parents[2] / "notebooks" / "lessons"
FAST = "patches"


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("scale_mae_tiny")


@pytest.mark.parametrize(("number", "lesson"), enumerate(LESSONS, 1), ids=lambda v: getattr(v, "id", ""))
def test_notebooks_on_disk_are_those_of_the_lessons(number: int, lesson: Lesson):
    kept = json.loads((NOTEBOOKS / f"{number:02d}_{lesson.id}.ipynb").read_text())
    assert kept == notebook(lesson, number), "run `make lessons`"


def test_no_notebook_is_left_over():
    assert len(list(NOTEBOOKS.glob("*.ipynb"))) == len(LESSONS)


def run(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    """Run the code cells as a notebook would, one after the other."""
    monkeypatch.chdir(NOTEBOOKS)
    names: dict[str, object] = {"__name__": "lesson"}
    for cell in notebook(lesson, 1)["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), lesson.id, "exec"), names)
    return capsys.readouterr().out


def test_a_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    lesson = find_lesson(FAST)
    assert lesson
    assert "costs most" in run(lesson, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [lesson for lesson in LESSONS if lesson.id != FAST], ids=lambda v: v.id)
def test_every_notebook_runs(lesson: Lesson, monkeypatch, capsys):
    printed = run(lesson, monkeypatch, capsys)
    assert "Right." in printed or "Not quite." in printed


def test_source_has_what_the_function_uses_and_no_more():
    lesson = find_lesson("shapes")
    assert lesson
    text = source_of(lesson.measure)
    assert text.startswith("from core.")
    assert "def measure_shapes(" in text and "SEEDS = " in text
    assert "conclude_shapes" not in text and "measure_spread" not in text


def pages(pdf: bytes) -> int:
    return pdf.count(b"/Type /Page") - pdf.count(b"/Type /Pages")


def test_a_worksheet_is_one_page_and_does_not_hold_the_answer(bench: Bench, monkeypatch):
    lesson = find_lesson(FAST)
    assert lesson
    texts: list[str] = []
    text = Figure.text
    monkeypatch.setattr(
        Figure, "text", lambda self, x, y, s, **more: texts.append(s) or text(self, x, y, s, **more)
    )
    sheet = worksheet(lesson, 1, bench)
    page = " ".join(" ".join(texts).split())
    assert sheet.startswith(b"%PDF") and pages(sheet) == 1
    assert lesson.ask in page and lesson.debrief not in page
    texts.clear()
    key = answer_key(lesson, 1, bench)
    assert pages(key) == 1
    assert lesson.conclude(lesson.measure(bench)).says in " ".join(" ".join(texts).split())


def test_equal_worksheets_are_equal_files(bench: Bench):
    lesson = find_lesson(FAST)
    assert lesson
    assert worksheet(lesson, 1, bench) == worksheet(lesson, 1, bench)


@pytest.mark.parametrize(
    ("number", "lesson"), a_few(enumerate(LESSONS, 1), 2), ids=lambda v: getattr(v, "id", "")
)
def test_a_worksheet_ends_above_its_footer(number: int, lesson: Lesson, bench: Bench, monkeypatch):
    drawn: list[Any] = []
    monkeypatch.setattr(worksheets, "_pdf", lambda figures, _: drawn.extend(figures) or b"")
    worksheet(lesson, number, bench)
    (sheet,) = drawn
    rules = [rule.get_ydata()[0] for rule in sheet.artists if isinstance(rule, Line2D)]
    assert len(rules) >= 8, "no space for the last answer"
    assert min(rules) >= worksheets.BOTTOM


def test_names_below_bars_and_ticks_of_a_logarithm_can_be_read():
    def printed(chart: Chart) -> Any:
        figure = Figure(figsize=(6.4, 2.2))
        draw_chart(axes := figure.add_subplot(), chart)
        figure.canvas.draw()
        return axes

    names = tuple(f"{n} m to {10 * n} m" for n in range(100, 108))
    axes = printed(Chart("x", "y", (Series("s", (1.0,) * 8, names),), "bars", kind="bars"))
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    axes = printed(Chart("x", "y", (Series("s", (1.0, 2.0), (4.0, 60.0)),), "lines", log_x=True))
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for at, label in ticks if 4 <= at <= 60] == ["5", "10", "20", "50"]
