"""One lesson on the page: read, predict, try, check, and the explanation."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.lessons.course import LESSONS
from core.lessons.questions import Patches, Prediction
from core.lessons.spec import Checked, Finding, Lesson, check
from core.lessons.terms import TERMS
from core.viz.chart import plotly_chart
from core.viz.sheet import sheet
from ui.learn import asking, memory, results
from ui.pickers.model_picker import model_label
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.page import ICONS, labs

PAGE = "pages/6_Learn.py"
NO_BAR = {"displayModeBar": False}
TEXT_PX = 760
"""About ninety letters: longer lines are hard to read."""


@dataclass(frozen=True)
class Attempt:
    """What the learner has done in a lesson: the prediction, and whether the answer was asked for."""

    prediction: Prediction
    checked: bool = False


def attempt(lesson: Lesson, model: str) -> Attempt | None:
    """The learner's attempt at a lesson, if a prediction was made."""
    return state.recall(_name(lesson, model), None)


def keep(lesson: Lesson, model: str, made: Attempt | None) -> None:
    """Store the attempt at a lesson, or remove it."""
    state.keep(_name(lesson, model), made)


def _name(lesson: Lesson, model: str) -> str:
    """Chosen patches belong to the grid of one network; other predictions stay when the network changes."""
    return f"attempt {lesson.id} {model if isinstance(lesson.question, Patches) else ''}"


def show(lesson: Lesson, model: str, kept: dict[str, str]) -> None:
    """Show a lesson up to where the learner is. `kept` are parameters that links on the page keep."""
    read(lesson, model)
    results.prepare(lesson, model)
    with st.spinner("Loading the network", show_time=True):
        shown = results.setup(lesson, model)
    made = attempt(lesson, model)
    st.markdown("## Predict")
    if made is None:
        predict(lesson, model, shown)
        return
    pictures(shown, abreast=3)
    st.markdown(f"**{plain(lesson.ask)}**")
    st.info(f"Your prediction: {plain(lesson.question.text(made.prediction))}", icon=":material/lock:")
    st.markdown("## Try it")
    act(lesson, model, shown)
    st.markdown("## Check")
    if not made.checked:
        if st.button("Show the answer", type="primary", key=f"check {lesson.id}"):
            keep(lesson, model, Attempt(made.prediction, checked=True))
            st.rerun()
        return
    verdict(lesson, model, made)
    explain(lesson)
    memory.remember(f"done {lesson.id}")
    onwards(lesson, model, kept)


def read(lesson: Lesson, model: str) -> None:
    """The three sentences, the words that they use, and the lesson as a printable sheet."""
    st.markdown(" ".join(plain(sentence) for sentence in lesson.prose), width=TEXT_PX)
    with st.container(horizontal=True):
        with st.popover("Words in this lesson", icon=":material/menu_book:"):
            st.markdown("\n".join(f"- **{term}**: {TERMS[term]}." for term in lesson.terms))
        worksheet(lesson, model)


def worksheet(lesson: Lesson, model: str, *, answers: bool = False) -> None:
    """A button that downloads the printable sheet of a lesson, or its answers. Nothing is drawn before."""
    st.download_button(
        "Answer sheet (PDF)" if answers else "Worksheet (PDF)",
        lambda: results.worksheet(lesson, model, answers=answers),
        file_name=f"{lesson.id}{'_answers' if answers else ''}.pdf",
        mime="application/pdf",
        icon=":material/print:",
        on_click="ignore",
        key=f"sheet {lesson.id} {answers}",
    )


def predict(lesson: Lesson, model: str, shown: Finding) -> None:
    """The question, its widget, and the button that commits the prediction."""
    left, right = st.columns([1.15, 1], gap="large")
    with left:
        st.markdown(f"**{plain(lesson.ask)}**")
        raw = asking.ask(lesson, shown)
        sent = st.button("Commit my prediction", type="primary", key=f"commit {lesson.id}")
        st.caption("Commit first: what the network does is shown afterwards.")
    with right:
        pictures(shown, abreast=2 if len(shown.pictures) <= 4 else 4)
    if sent:
        with left:
            prediction = lesson.question.read(raw)
        keep(lesson, model, Attempt(prediction))
        state.keep("committed", lesson.id)
        st.rerun()


def act(lesson: Lesson, model: str, shown: Finding) -> None:
    """The controls, and what they give."""
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        st.markdown(lesson.try_this)
        chosen = asking.settings(lesson, shown)
    with right, st.spinner("Computing", show_time=True):
        found = results.explored(lesson, model, chosen)
    with right:
        pictures(found)
        chart(lesson, found, "act")
        with st.container(key="found"):
            st.markdown(f":material/monitoring: {plain(lesson.describe(found))}")


def verdict(lesson: Lesson, model: str, made: Attempt) -> Checked:
    """The answer, computed with the loaded network, and how close the prediction was."""
    with st.spinner("Measuring", show_time=True):
        found = results.measured(lesson, model)
    result = check(lesson, found, made.prediction)
    if result.right:
        st.success(f"Right. {plain(result.how_near)}", icon=":material/check_circle:")
    else:
        st.info(f"Not quite. {plain(result.how_near)}", icon=":material/lightbulb:")
    st.markdown(plain(result.says))
    pictures(found)
    chart(lesson, found, "answer")
    st.caption(f"Measured just now with {plain(model)}.")
    if not result.holds:
        st.warning(plain(result.warning), icon=":material/warning:")
    return result


def explain(lesson: Lesson) -> None:
    """Why it is so, and the part for experts."""
    st.markdown("## Why")
    st.markdown(lesson.debrief, width=TEXT_PX)
    with st.expander("Go deeper", icon=":material/functions:"):
        st.markdown(lesson.deeper.text, width=TEXT_PX)
        st.latex(lesson.deeper.equation)
        st.caption(lesson.deeper.paper)


def onwards(lesson: Lesson, model: str, kept: dict[str, str]) -> None:
    """Try again, the answers on paper, the lab where one can continue, and the next lesson."""
    again, sheet_of_answers, lab, following = st.columns(4)
    with sheet_of_answers:
        worksheet(lesson, model, answers=True)
    with again:
        if st.button("Predict again", icon=":material/replay:", key=f"again {lesson.id}"):
            keep(lesson, model, None)
            st.rerun()
    with lab:
        st.page_link(labs()[lesson.place], label=f"Continue in the {lesson.place}", icon=ICONS[lesson.place])
    number = LESSONS.index(lesson) + 1
    if number < len(LESSONS):
        after = LESSONS[number]
        with following:
            st.page_link(
                PAGE,
                label=f"Next: {plain(after.title)}",
                icon=":material/arrow_forward:",
                query_params={**kept, "lesson": after.id},
            )


def pictures(found: Finding, abreast: int = 0) -> None:
    """The pictures of a finding."""
    if found.pictures:
        st.html(sheet(found.pictures, abreast=abreast or min(len(found.pictures), 4), least_px=100))


def chart(lesson: Lesson, found: Finding, where: str) -> None:
    """The chart of a finding, with its values as a table for whoever cannot see it."""
    if found.chart is None:
        return
    st.plotly_chart(plotly_chart(found.chart), config=NO_BAR, key=f"chart {lesson.id} {where}")
    with st.expander("The chart as a table"):
        st.caption(plain(found.chart.describe))
        for series in found.chart.series:
            st.dataframe(
                {found.chart.x: list(series.x), f"{series.name}: {found.chart.y}": list(series.y)},
                hide_index=True,
                height=180,
            )


def model_choice(names: list[str]) -> str:
    """Choose the network that answers."""
    linked = state.address_params(("network",)).get("network", names[0])
    if linked not in names:
        st.warning(
            f"The link asks for the network {plain(linked[:60])}, which is not available: "
            f"{plain(names[0])} is used.",
            icon=":material/link_off:",
        )
        linked = names[0]
    return st.selectbox(
        "Network", names, key=state.widget("lesson network", linked), format_func=model_label,
        help="Every answer is computed with this network. With another one it may differ.",
    )  # fmt: skip
