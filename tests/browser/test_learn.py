"""Lessons in a real browser: by keyboard, a right and a wrong prediction, presenter mode, what the browser
remembers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.lessons.bench import Bench
from core.lessons.course import LESSONS
from core.lessons.notebooks import example
from core.lessons.questions import Choice, Number, Patches, Place, Ranking
from core.lessons.spec import Answer, Lesson, Options, Paint, Slider
from tests.browser.axe import in_variants, settled, violations
from tests.conftest import ROOT
from tests.lessons.test_lessons import OTHER_MODELS, right_prediction, wrong_prediction

pytestmark = pytest.mark.browser
MEASURES = Path(__file__).parent / "measures.js"
FAST = "shares"
DOES_NOT_HOLD = "the measurement does not show it"
NETWORKS = ("scale_mae_tiny", *OTHER_MODELS)
"""The network that the page loads first, and two more: one of another family, one with another grid."""


bench = functools.cache(Bench)


@pytest.fixture(scope="module")
def answers() -> Callable[..., Answer]:
    """The answer of a lesson, measured in this process."""

    @functools.cache
    def measured(lesson: Lesson, network: str = NETWORKS[0]) -> Answer:
        return lesson.conclude(lesson.measure(bench(network)))

    return measured


def open_lesson(page: Page, serve: Callable[..., str], lesson: str, **params: str) -> Page:
    query = "&".join(f"{name}={value}" for name, value in {"lesson": lesson, **params}.items())
    page.set_viewport_size({"width": 1400, "height": 1400})
    page.goto(f"{serve(ROOT / 'serve.py')}/Learn?{query}")
    expect(page.get_by_role("button", name="Commit my prediction")).to_be_visible()
    return page


def enter(page: Page, lesson: Lesson, prediction) -> None:
    """Enter a prediction with the keyboard alone."""
    match lesson.question:
        case Number():
            box = page.get_by_label("Your prediction", exact=False).first
            box.focus()
            page.keyboard.type(f"{prediction:.4g}")
            page.keyboard.press("Enter")
        case Choice():
            at = lesson.question.options.index(prediction)
            radio = page.get_by_role("radio").nth(at)
            radio.focus()
            page.keyboard.press("Space")
            expect(radio).to_be_checked()
        case Ranking():
            for n, name in enumerate(prediction):
                page.get_by_role("combobox").nth(n + 1).focus()  # the first chooses the network
                page.keyboard.type(name)
                page.keyboard.press("Enter")
                settled(page)
        case Place():
            box = page.get_by_label("Your prediction", exact=False).first
            box.focus()
            page.keyboard.type(f"{prediction.lat}, {prediction.lon}")
            page.keyboard.press("Enter")
        case Patches():
            mark(page, prediction)
    settled(page)


def mark(page: Page, cells) -> None:
    """Mark patches on the painter with arrow keys and space."""
    canvas = page.locator(".painter canvas").first
    canvas.focus()
    for _ in range(32):  # no grid has more rows
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    row = col = 0
    for to_row, to_col in cells:
        for key, count in (("ArrowDown", to_row - row), ("ArrowRight", to_col - col)):
            back = {"ArrowDown": "ArrowUp", "ArrowRight": "ArrowLeft"}[key]
            for _ in range(abs(count)):
                page.keyboard.press(key if count > 0 else back)
        page.keyboard.press("Space")
        row, col = to_row, to_col
    expect(page.get_by_text(f"Marked: {len(cells)}.")).to_be_visible()


def act(page: Page, lesson: Lesson, network: str) -> None:
    """Move the first control of a lesson with the keyboard alone, and wait for its result."""
    result = page.locator(".st-key-found")
    before = result.text_content()
    match control := lesson.controls[0]:
        case Slider():
            page.get_by_role("slider").first.focus()
            page.keyboard.press("ArrowRight")
            expect(result).to_contain_text(sentence(lesson, network, control.start + control.step))
        case Options():
            page.get_by_role("combobox").nth(1).focus()  # the first chooses the network
            page.keyboard.type(control.options[1])
            page.keyboard.press("Enter")
            expect(result).to_contain_text(sentence(lesson, network, control.options[1]))
        case Paint():
            page.locator(".painter canvas").first.focus()
            for key in ("ArrowDown", "ArrowRight", "Space"):
                page.keyboard.press(key)
            expect(result).not_to_have_text(before or "")
    settled(page)


def sentence(lesson: Lesson, network: str, setting: float | str) -> str:
    """What a lesson says with its first control moved to a setting; not every network then says another."""
    moved = {**lesson.start(), lesson.controls[0].name: setting}
    return lesson.describe(lesson.explore(bench(network), **moved))


def drive(
    page: Page,
    serve: Callable[..., str],
    lesson: Lesson,
    answer: Answer,
    *,
    right: bool = True,
    network: str = NETWORKS[0],
) -> None:
    """From the link to the explanation, with a right or a wrong prediction."""
    prediction = (right_prediction if right else wrong_prediction)(lesson, answer.value)
    open_lesson(page, serve, lesson.id, network=network)
    expect(page.get_by_text("Measured just now")).to_have_count(0)
    enter(page, lesson, prediction)
    page.get_by_role("button", name="Commit my prediction").press("Enter")
    expect(page.get_by_text("Your prediction:")).to_be_visible()
    expect(page.get_by_role("button", name="Show the answer")).to_be_visible()
    settled(page)
    act(page, lesson, network)
    page.get_by_role("button", name="Show the answer").press("Enter")
    expect(page.get_by_text(f"Measured just now with {network}")).to_be_visible()
    expect(page.get_by_text("Right." if right else "Not quite.").first).to_be_visible()
    expect(page.get_by_text(DOES_NOT_HOLD)).to_have_count(0 if answer.holds else 1)
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    settled(page)


def test_a_lesson_by_keyboard_and_what_the_browser_remembers(
    local_page: Page, serve: Callable[..., str], answers: Callable[..., Answer]
) -> None:
    lesson = next(lesson for lesson in LESSONS if lesson.id == FAST)
    drive(local_page, serve, lesson, answers(lesson))
    local_page.wait_for_function("(localStorage.getItem('earth-mae-learn') ?? '').includes('done shares')")
    local_page.goto(f"{serve(ROOT / 'serve.py')}/Learn")
    expect(local_page.get_by_text(f"1 of {len(LESSONS)} lessons done")).to_be_visible()
    local_page.reload()
    expect(local_page.get_by_text(f"1 of {len(LESSONS)} lessons done")).to_be_visible()
    local_page.get_by_role("button", name="Forget my progress").click()
    local_page.wait_for_function("localStorage.getItem('earth-mae-learn') === '[]'")
    expect(local_page.get_by_text("lessons done in this browser")).to_have_count(0)


@pytest.mark.parametrize("name", ["patches", pytest.param("globe", marks=pytest.mark.thorough)])
def test_the_painter_and_the_map_by_keyboard(
    local_page: Page, serve: Callable[..., str], answers: Callable[..., Answer], name: str
) -> None:
    lesson = next(lesson for lesson in LESSONS if lesson.id == name)
    drive(local_page, serve, lesson, answers(lesson))
    if name == "globe":  # the map's places as a list
        summary = local_page.locator("summary").filter(has_text="The chart as a table").last
        summary.focus()
        local_page.keyboard.press("Enter")
        expect(local_page.get_by_test_id("stDataFrame").last).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_every_lesson_right_and_wrong(
    local_page: Page,
    serve: Callable[..., str],
    answers: Callable[..., Answer],
    lesson: Lesson,
    network: str,
    right: bool,
) -> None:
    """A lesson that does not hold with a network says so, and is right or wrong all the same."""
    drive(local_page, serve, lesson, answers(lesson, network), right=right, network=network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1400, "light"), (1400, "dark"), (400, "light"), (400, "dark")]
)
@pytest.mark.parametrize("lesson", ["", *(lesson.id for lesson in LESSONS)])
def test_every_lesson_can_be_read(
    local_page: Page, serve: Callable[..., str], lesson: str, width: int, scheme: str
) -> None:
    page = local_page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(path=MEASURES)
    page.goto(f"{serve(ROOT / 'serve.py')}/Learn" + (f"?lesson={lesson}" if lesson else ""))
    expect(page.locator(".page-drawn")).to_be_attached()
    settled(page)
    assert page.evaluate("paleTexts()") == []
    levels = page.evaluate("headingLevels()")
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels)), levels
    assert page.evaluate("unnamedImages()") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_axe_finds_no_violation(local_page: Page, serve: Callable[..., str], lesson: Lesson) -> None:
    """Before a prediction and after the answer, in four variants."""
    page = open_lesson(local_page, serve, lesson.id)
    settled(page)
    assert in_variants(page) == {}
    page.set_viewport_size({"width": 1400, "height": 1400})
    settled(page)
    enter(page, lesson, lesson.question.read(example(lesson.question)))
    page.get_by_role("button", name="Commit my prediction").press("Enter")
    page.get_by_role("button", name="Show the answer").press("Enter")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    settled(page)
    assert in_variants(page) == {}


@pytest.mark.thorough
def test_axe_notices_a_picture_without_a_name(page: Page) -> None:
    page.set_content("<html lang=en><title>A page</title><main><h1>A page</h1><img src=x></main></html>")
    assert [wrong.split(":")[0] for wrong in violations(page)] == ["image-alt"]


@pytest.mark.slow
def test_a_tour_is_dismissed_for_good(local_page: Page, serve: Callable[..., str]) -> None:
    page = local_page
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(f"{serve(ROOT / 'serve.py')}/Mask_Lab")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("1 of 5")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("2 of 5")).to_be_visible()
    page.get_by_role("button", name="End tour").click()
    expect(page.get_by_text("2 of 5")).to_have_count(0)
    page.wait_for_function("(localStorage.getItem('earth-mae-learn') ?? '').includes('no tour mask lab')")
    page.reload()
    expect(page.locator('[data-panel="combined"] img').first).to_be_visible()
    settled(page)
    expect(page.get_by_role("button", name="Start", exact=True)).to_have_count(0)
    assert "no tour mask lab" in json.loads(page.evaluate("localStorage.getItem('earth-mae-learn')"))


@pytest.mark.slow
def test_the_teachers_keys(local_page: Page, serve: Callable[..., str]) -> None:
    page = local_page
    page.goto(f"{serve(ROOT / 'serve.py')}/Learn?lesson=patches&present=1")
    expect(page.get_by_text("1 of 4: Read")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 4: Predict")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("3 of 4: Answer")).to_be_visible()
    expect(page.get_by_text("costs most")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("2 of 4: Predict")).to_be_visible()


def test_the_answers_of_two_predictions_differ() -> None:
    """The right and the wrong prediction of a grid are not the same patches."""
    lesson = next(lesson for lesson in LESSONS if isinstance(lesson.question, Patches))
    grid = np.arange(196.0).reshape(14, 14)
    assert right_prediction(lesson, grid) != wrong_prediction(lesson, grid)
