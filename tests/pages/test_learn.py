"""The Learn page: links, refusals, prediction before the answer, the class board."""

import pytest

from core.lessons.course import LESSONS, find_lesson
from ui.learn import classroom, results

PAGE = "pages/6_Learn.py"


def words(app) -> str:
    assert not app.exception, app.exception
    kinds = (app.markdown, app.caption, app.info, app.success, app.warning, app.error)
    return "\n".join(element.value for kind in kinds for element in kind)


def button(app, label):
    return next(one for one in app.button if one.label == label)


@pytest.fixture
def lesson(open_page):
    return open_page(PAGE, lesson="shares")


def test_all_lessons_are_listed(open_page):
    app = open_page(PAGE)
    text = words(app)
    assert "read three sentences" in text and "In class" in text
    assert len([one for one in app.get("page_link") if "lesson=" in str(one.proto)]) >= len(LESSONS)


def test_nothing_is_revealed_before_a_prediction_is_committed(lesson):
    text = words(lesson)
    assert "Commit first" in text
    assert "Measured just now" not in text and "PSNR of the network" not in text
    assert not any(one.label == "Show the answer" for one in lesson.button)


@pytest.mark.parametrize(
    ("entered", "says"), [("", "no prediction yet"), ("-5", "not possible"), ("x", "not a number")]
)
def test_empty_and_absurd_predictions_are_refused(lesson, entered, says):
    lesson.text_input[0].set_value(entered)
    app = button(lesson, "Commit my prediction").click().run()
    assert says in words(app)
    assert not any(one.label == "Show the answer" for one in app.button)


def test_a_lesson_from_prediction_to_explanation(lesson):
    lesson.text_input[0].set_value("1")
    app = button(lesson, "Commit my prediction").click().run()
    text = words(app)
    assert (
        "Your prediction: 1 %" in text and "PSNR of the network" in text and "Measured just now" not in text
    )
    app = app.slider[0].set_value(75).run()
    assert "PSNR of the network" in words(app)
    app = button(app, "Show the answer").click().run()
    text = words(app)
    assert "Not quite" in text and "You predicted 1 %" in text and "Measured just now with" in text
    app = button(app, "Predict again").click().run()
    assert "Commit first" in words(app)


@pytest.mark.parametrize("params", [{"lesson": "of-an-older-version"}, {"lesson": "<img src=x>"}])
def test_an_unknown_lesson_is_reported(open_page, params):
    text = words(open_page(PAGE, **params))
    assert "There is no lesson called" in text and "<img" not in text.replace("\\<img", "")


def test_an_unknown_network_is_reported(open_page):
    assert "which is not available" in words(open_page(PAGE, lesson="shares", network="no_such_net"))


def test_an_unknown_class_is_reported(open_page):
    app = open_page(PAGE, **{"class": "ZZZZZ"})
    assert "There is no class with this code" in words(app)


def test_a_class_collects_predictions_and_reveals_them_on_request(open_page):
    board = classroom.boards().open()
    pupil = open_page(PAGE, lesson="shares", **{"class": board.code})
    pupil.text_input[0].set_value("40")
    pupil = button(pupil, "Commit my prediction").click().run()
    assert classroom.boards().predictions(board.code, "shares") == (40.0,)
    assert "Predictions of your class" not in str([one.label for one in pupil.expander])
    params = {"class": board.code, "teacher": board.key, "present": "1", "lesson": "shares"}
    teacher = open_page(PAGE, **params)
    teacher = button(teacher, "Next").click().run()
    text = words(teacher)
    assert "Predictions: **1**" in text and "40 %: 1" not in text
    teacher = button(teacher, "Reveal the predictions").click().run()
    assert "40 %: 1" in words(teacher)
    wrong = open_page(PAGE, **{**params, "teacher": "guessed"})
    assert "does not open the teacher's view" in words(wrong)


def test_the_worksheet_of_a_lesson_is_drawn_on_request(lesson):
    assert "Worksheet (PDF)" in str(lesson.get("download_button"))
    sheet, key = (
        results.worksheet(find_lesson("shares"), "scale_mae_tiny", answers=a) for a in (False, True)
    )
    assert sheet.startswith(b"%PDF") and key.startswith(b"%PDF") and sheet != key


def test_a_place_is_asked_for_by_name(open_page):
    app = open_page(PAGE, lesson="globe")
    app.text_input[0].set_value("Atlantis-on-Sea")
    app = button(app, "Commit my prediction").click().run()
    assert "not among the 24,000" in words(app)
    app.text_input[0].set_value("<b>Lima</b>, PE")
    app = button(app, "Commit my prediction").click().run()
    assert "<b>" not in words(app).replace("\\<b", "")
    app.text_input[0].set_value("Gobi desert")
    app = button(app, "Commit my prediction").click().run()
    app = button(app, "Show the answer").click().run()
    text = words(app)
    assert "Your prediction: Gobi desert" in text and "km from Gobi desert" in text


@pytest.mark.thorough
def test_other_networks_can_be_chosen():
    assert {"scale_mae_tiny", "mae_tiny", "sdmae_tiny"} <= set(results.models())
