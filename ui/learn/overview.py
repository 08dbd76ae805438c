"""The list of lessons, and what teachers need: a class, worksheets, presenter mode."""

from __future__ import annotations

import streamlit as st

from core.lessons.board import Board
from core.lessons.course import LESSONS
from ui.learn import classroom, memory
from ui.learn.lesson_view import PAGE
from ui.shell.escaping import plain
from ui.shell.style import DOORS


def show(board: Board | None, kept: dict[str, str]) -> None:
    """Show all lessons with their progress in this browser, then the teacher's tools."""
    done = {word.removeprefix("done ") for word in memory.remembered() if word.startswith("done ")}
    count = sum(lesson.id in done for lesson in LESSONS)
    st.markdown(
        "Each lesson takes a few minutes: read three sentences, commit a prediction, try it with the "
        "network, and see "
        "how close you were. Answers are measured with the network that is loaded, not looked up."
    )
    if count:
        st.progress(count / len(LESSONS), f"{count} of {len(LESSONS)} lessons done in this browser")
    with st.container(key=DOORS):
        for start in range(0, len(LESSONS), 3):
            columns = st.columns(3)
            for column, lesson in zip(columns, LESSONS[start : start + 3], strict=False):
                number = LESSONS.index(lesson) + 1
                with column.container(border=True, height="stretch"):
                    st.page_link(
                        PAGE,
                        label=f"**{number}. {plain(lesson.title)}**",
                        query_params={**kept, "lesson": lesson.id},
                    )
                    mark = " · done" if lesson.id in done else ""
                    st.caption(f"{lesson.minutes} minutes{mark}")
    if count and st.button("Forget my progress", type="tertiary", icon=":material/delete:"):
        memory.forget()
        st.rerun()
    st.markdown("## In class")
    if board is None:
        classroom.join_or_open()
    elif classroom.is_teacher(board):
        st.markdown(f"Your class is open. Its code: **{board.code}**")
        st.caption(
            "Pupils enter it on this page. Keep the address of this tab: it holds the key to your class."
        )
        st.page_link(
            PAGE,
            label="Present lesson 1",
            icon=":material/co_present:",
            query_params={**kept, "lesson": LESSONS[0].id, "present": "1"},
        )
    else:
        st.success(f"You are in the class {board.code}. Your predictions arrive without a name.")
