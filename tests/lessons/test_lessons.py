"""Every lesson: its text, its answer with the shipped network, and a check that fails when its claim is
broken."""

import dataclasses
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from core.lessons.bench import Bench
from core.lessons.course import LESSONS, find_lesson
from core.lessons.measured.masking import FIRST_MASK, SHARES
from core.lessons.measured.scale import steps
from core.lessons.measured.vectors import COUNTS, MODELS
from core.lessons.notebooks import example
from core.lessons.questions import Place
from core.lessons.spec import Finding, Lesson, check
from core.lessons.terms import TERMS
from core.lessons.tours import TOURS
from core.masking import mask_to_text
from tests.thorough import a_few
from ui.shell.state import RENAMED_TABS

GLOSSARY = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text().lower()
OTHER_MODELS = ("mae_tiny", "sdmae_tiny")
GRID = np.arange(196.0).reshape(14, 14)

BROKEN: dict[str, Finding] = {
    # all patches are equally hard, and contrast predicts nothing
    "patches": Finding({"row": 1, "column": 1, "worst": 1.0, "median": 1.0, "correlation": 0.0}, GRID),
    # the lead grows with what is hidden
    "shares": Finding({f"lead at {s:.0%}": s for s in SHARES}),
    # the block is the easier one
    "shapes": Finding({"block": 30.0, "scattered": 25.0, "gap": -5.0}),
    # the edges lie in the low band
    "bands": Finding(
        {
            "edges in the low band": 0.9,
            "edges in the high band": 0.1,
            "centre of the low band": 2.0,
            "centre of the high band": 20.0,
        }
    ),
    # the vectors ignore the GSD
    "gsd": Finding(dict.fromkeys(steps(), 0.0)),
    # a wrong GSD helps
    "wrong-scale": Finding({"true": 0.5, "wrong": 0.9, "places": 80, "factor": 10}),
    # the spread points away from the error
    "uncertainty": Finding({"correlation": -0.2, "masks": 16}, GRID),
    # the vector ignores the scene
    "context": Finding({"pasted": 1.0, "before": 0.2}),
    # every look-alike is a neighbour
    "globe": Finding({"far": 0.0}),
    # the best at reconstruction is the best at kNN
    "order": Finding(
        {
            **{f"kNN {name}": value for name, value in zip(MODELS, (0.9, 0.8, 0.7), strict=True)},
            **{f"PSNR {name}": value for name, value in zip(MODELS[:2], (28.0, 27.0), strict=True)},
        }
    ),
    # more marks make it worse
    "marks": Finding({f"error after {count}": 0.01 * count for count in COUNTS}),
    # pairing does not help
    "difference": Finding(
        {
            "difference": 0.1, "low": -0.2, "high": 0.4, "unpaired half width": 0.1, "images": 80,
            MODELS[0]: 0.5, MODELS[1]: 0.6,
        }
    ),
    # the plain MAE has the higher accuracy
    "relations": Finding(
        {
            f"{what} {name}": value
            for name, value in (("tinymim_tiny", 0.3), ("mae_tiny", 0.5), ("scale_mae_tiny", 0.7))
            for what in ("kNN", "width", "depth")
        }
    ),
    # the plain network recognises places better
    "small-data": Finding(
        {
            "same place mae_tiny": 0.9, "same place sdmae_tiny": 0.1,
            "position mae_tiny": 0.9, "position sdmae_tiny": 0.9,
        }
    ),
    # the high band holds as much of the variance as of the edges
    "band-pass": Finding({"share": 0.8, "edges": 0.8, "correlation": 0.7}),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("scale_mae_tiny")


def test_every_lesson_has_a_broken_case():
    assert set(BROKEN) == {lesson.id for lesson in LESSONS}
    assert len(LESSONS) == 15


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_a_broken_claim_is_reported(lesson: Lesson):
    result = check(lesson, BROKEN[lesson.id], lesson.question.read(example(lesson.question)))
    assert not result.holds
    assert lesson.claim in result.warning


@pytest.mark.parametrize("lesson", a_few(LESSONS, 4), ids=lambda lesson: lesson.id)
def test_the_shipped_network_shows_what_a_lesson_teaches(lesson: Lesson, bench: Bench):
    shown = lesson.setup(bench)
    assert shown.pictures
    found = lesson.measure(bench)
    answer = lesson.conclude(found)
    assert answer.holds, answer.says
    result = check(lesson, found, right_prediction(lesson, answer.value))
    assert result.right, result.how_near
    assert not result.warning
    first = lesson.describe(lesson.explore(bench, **lesson.start()))
    assert first and first != answer.says
    assert not check(lesson, found, wrong_prediction(lesson, answer.value)).right


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_the_first_settings_do_not_give_the_answer_away(lesson: Lesson):
    """After the prediction the page shows `explore` with its first settings; the answer comes later."""
    assert lesson.controls
    measured = inspect.signature(lesson.measure).parameters
    asked = {name: parameter.default for name, parameter in measured.items() if name != "bench"}
    assert lesson.explore is not lesson.measure or lesson.start() != asked


def test_painting_starts_with_another_mask_than_the_question():
    lesson = find_lesson("patches")
    assert lesson and lesson.start()["mask"] != mask_to_text(FIRST_MASK)


@pytest.mark.slow
@pytest.mark.parametrize("model", OTHER_MODELS)
def test_other_networks_answer_every_lesson_or_say_that_it_does_not_hold(model: str):
    """Two more networks, one of them with another grid and not GSD-aware."""
    bench, held = Bench(model), {}
    for lesson in LESSONS:
        lesson.setup(bench)
        lesson.explore(bench, **lesson.start())
        found = lesson.measure(bench)
        result = check(lesson, found, right_prediction(lesson, lesson.conclude(found).value))
        assert result.right
        assert bool(result.warning) is not result.holds
        held[lesson.id] = result.holds
    assert sum(held.values()) >= 10, held


def right_prediction(lesson: Lesson, value):
    """The answer itself, as a prediction."""
    if isinstance(lesson.question, Place):
        lon, lat = value[0]
        return lesson.question.read(f"{lat:.2f}, {lon:.2f}")
    if isinstance(value, np.ndarray):
        cells = np.argsort(-np.nan_to_num(value, nan=-1), axis=None)[: lesson.question.least]
        return lesson.question.read([divmod(int(cell), value.shape[1]) for cell in cells])
    return lesson.question.read(value)


def wrong_prediction(lesson: Lesson, value):
    """A prediction that is far off."""
    question = lesson.question
    if isinstance(question, Place):
        return question.read("-60, -120")
    if isinstance(value, np.ndarray):
        cells = np.argsort(np.nan_to_num(value, nan=-1), axis=None)[: question.least]
        return question.read([divmod(int(cell), value.shape[1]) for cell in cells])
    if lesson.id == "order":
        return question.read(value[::-1])
    if isinstance(value, float):
        ends = (question.low, question.high)
        return question.read(max(ends, key=lambda end: abs(end - value)))
    right = (value,) if isinstance(value, str) else value
    return question.read(next(option for option in question.options if option not in right))


def test_ids_are_unique_and_fit_into_a_link():
    assert len({lesson.id for lesson in LESSONS}) == len(LESSONS)
    assert all(re.fullmatch(r"[a-z-]+", lesson.id) for lesson in LESSONS)
    assert find_lesson("no such lesson") is None
    assert all(find_lesson(lesson.id) is lesson for lesson in LESSONS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_text_is_short_and_its_words_are_explained(lesson: Lesson):
    assert len(lesson.prose) == 3
    assert all(len(sentence) < 260 for sentence in lesson.prose)
    assert lesson.terms
    assert set(lesson.terms) <= set(TERMS)
    text = " ".join((*lesson.prose, lesson.ask, lesson.debrief, lesson.claim, lesson.try_this)).lower()
    stems = {term: term.lower().rstrip("s").replace("y", "") for term in TERMS}
    unexplained = {
        term for term, stem in stems.items() if re.search(rf"\b{re.escape(stem)}", text.replace("y", ""))
    } - set(lesson.terms)
    assert not unexplained & {"GSD", "PSNR", "kNN", "embedding", "cosine", "calibrated"}


def test_every_term_is_in_the_glossary():
    assert not [term for term in TERMS if term.lower() not in GLOSSARY]


def test_lessons_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LESSONS[0].title = "another"  # type: ignore[misc]


def test_tours_have_five_steps_and_lead_to_lessons_that_exist():
    assert len(TOURS) == 5
    for steps_of_a_lab in TOURS.values():
        assert len(steps_of_a_lab) == 5
        assert all(not step.lesson or find_lesson(step.lesson) for step in steps_of_a_lab)


def test_tours_name_controls_that_exist():
    root = Path(__file__).parents[2]
    code = "".join(
        path.read_text() for folder in ("ui", "pages", "core") for path in (root / folder).rglob("*.py")
    )
    named = {
        name
        for steps_of_a_lab in TOURS.values()
        for step in steps_of_a_lab
        for name in re.findall("“([^”]+)”", f"{step.do} {step.notice}")
    }
    assert named
    assert not [name for name in named if f'"{name}"' not in code]
    assert not named & RENAMED_TABS.keys()
