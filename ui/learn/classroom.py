"""A class: pupils join with a code, their predictions arrive anonymously, and the teacher presents the
lesson."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from core.lessons.board import Board, BoardError, Boards, histogram
from core.lessons.spec import Lesson
from core.viz.chart import Chart, Series, plotly_chart
from ui.learn import lesson_view, results
from ui.shell import ownership, state
from ui.shell.escaping import plain

PARAMETERS = ("lesson", "network", "class", "teacher", "present")
PANELS = ("Read", "Predict", "Answer", "Why")
LARGE_TYPE = """<style>
[data-testid=stSidebar], [data-testid=stExpandSidebarButton] { display: none }
[data-testid=stMain] p, [data-testid=stMain] li { font-size: 1.45rem; line-height: 1.45 }
[data-testid=stMain] :is(label, button, a) p { font-size: 1.1rem }
[data-testid=stMain] h1 { font-size: 1.4rem } [data-testid=stMain] h2 { font-size: 2.4rem }
[data-testid=stMain] [data-testid=stCaptionContainer] p { font-size: 1.1rem }
</style>"""
"""Presenter mode: large type, and the whole width for one panel."""


@lru_cache(maxsize=1)
def boards() -> Boards:
    """All boards of this server. Not in a cache of results, which may drop them while a class is at work."""
    return Boards()


def joined() -> Board | None:
    """The class that the address names; a sentence is shown if it does not exist."""
    code = state.address_params(("class",)).get("class", "")
    if not code:
        return None
    try:
        return boards().join(code)
    except BoardError as problem:
        st.warning(plain(problem), icon=":material/group_off:")
        return None


def is_teacher(board: Board) -> bool:
    """Whether the address has the key of the teacher."""
    key = state.address_params(("teacher",)).get("teacher", "")
    if not key:
        return False
    try:
        boards().host(board.code, key)
    except BoardError as problem:
        st.warning(plain(problem), icon=":material/group_off:")
        return False
    return True


def send(board: Board | None, lesson: Lesson, model: str) -> None:
    """Send a prediction that was just committed to the board of the class."""
    made = lesson_view.attempt(lesson, model)
    if board is None or made is None or state.recall("committed", "") != lesson.id:
        return
    state.keep("committed", "")
    boards().put(board.code, lesson.id, state.session_id(), made.prediction)
    st.toast("Your prediction is on the board of your class, without a name.", icon=":material/group:")


def join_or_open() -> None:
    """The form to join a class, and the button that opens one."""
    left, right = st.columns(2, gap="large")
    with left, st.form("join", border=False):
        code = st.text_input("Class code", max_chars=10, placeholder="five letters")
        if st.form_submit_button("Join the class", icon=":material/group:"):
            if not code.strip():
                st.warning("The class code is empty: enter the five letters that your teacher shows.")
            else:
                boards().join(code)
                state.publish_params(
                    PARAMETERS, {**state.address_params(PARAMETERS), "class": code.strip().upper()}
                )
                st.rerun()
    with right:
        st.caption(
            "For teachers: open a class, show its code, and the predictions of your pupils arrive here as a "
            "histogram. No names, no accounts; everything is gone when this server stops."
        )
        if st.button("Open a class", icon=":material/school:"):
            board = boards().open(ownership.visitor())
            state.publish_params(
                PARAMETERS, {**state.address_params(PARAMETERS), "class": board.code, "teacher": board.key}
            )
            st.rerun()


def present(lesson: Lesson, model: str, board: Board | None) -> None:
    """One panel of a lesson in large type, with keys for next, back and reveal."""
    st.html(LARGE_TYPE)
    name = f"panel {lesson.id}"
    at = min(max(state.recall(name, 0), 0), len(PANELS) - 1)
    back, place, following = st.columns([1, 2, 1], vertical_alignment="center")
    with back:
        if st.button("Back", shortcut="Left", disabled=at == 0, key="panel back"):
            state.keep(name, at - 1)
            st.rerun()
    place.caption(
        f"{at + 1} of {len(PANELS)}: {PANELS[at]}" + (f" · class code {board.code}" if board else "")
    )
    with following:
        if st.button("Next", shortcut="Right", disabled=at == len(PANELS) - 1, key="panel next"):
            state.keep(name, at + 1)
            st.rerun()
    results.prepare(lesson, model)
    match PANELS[at]:
        case "Read":
            for sentence in lesson.prose:
                st.markdown(plain(sentence))
        case "Predict":
            st.markdown(f"**{plain(lesson.ask)}**")
            lesson_view.pictures(results.setup(lesson, model), abreast=3)
            if board is not None:
                _predictions(board, lesson)
        case "Answer":
            found = results.measured(lesson, model)
            answer = lesson.conclude(found)
            st.markdown(f"**{plain(answer.says)}**")
            lesson_view.pictures(found)
            lesson_view.chart(lesson, found, "present")
            if not answer.holds:
                st.warning(
                    "With this network the lesson's statement does not hold.", icon=":material/warning:"
                )
        case _:
            st.markdown(lesson.debrief)


@st.fragment(run_every=2)
def _predictions(board: Board, lesson: Lesson) -> None:
    """How many predictions there are, and their histogram once it is revealed."""
    try:
        given = boards().predictions(board.code, lesson.id)
    except BoardError as problem:
        st.warning(plain(problem))
        return
    st.markdown(f"Predictions: **{len(given)}**")
    if lesson.id not in board.revealed:
        st.button(
            "Reveal the predictions",
            shortcut="V",
            disabled=not given,
            on_click=boards().reveal,
            args=(board.code, lesson.id),
        )
        return
    show_histogram(lesson, given, "teacher")


def shared_histogram(board: Board, lesson: Lesson) -> None:
    """The histogram for pupils, once the teacher has revealed it."""
    if lesson.id in board.revealed:
        with st.expander("Predictions of your class", expanded=True):
            show_histogram(lesson, boards().predictions(board.code, lesson.id), "pupil")


def show_histogram(lesson: Lesson, given: tuple, key: str) -> None:
    """Draw how many predicted what."""
    counts = histogram(lesson.question, given)
    labels, numbers = tuple(label for label, _ in counts), tuple(float(count) for _, count in counts)
    chart = Chart(
        "prediction", "pupils", (Series("pupils", numbers, labels),), "Predictions of the class", "bars"
    )
    st.plotly_chart(plotly_chart(chart), config=lesson_view.NO_BAR, key=f"histogram {lesson.id} {key}")
    st.caption(
        "; ".join(f"{plain(label)}: {count:.0f}" for label, count in zip(labels, numbers, strict=True))
    )
