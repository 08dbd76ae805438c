"""Learn: lessons with the live network. Predict, try, check; for one learner or a class."""

import streamlit as st

from ui.learn import classroom, memory
from ui.shell import state
from ui.shell.page import page

with page("Learn", "Predict first, then let the network show whether you were right.", linked=True):
    from core.lessons.course import LESSONS, find_lesson
    from core.lessons.questions import PredictionError
    from ui.learn import lesson_view, overview, results
    from ui.shell.escaping import plain

    params = state.address_params(classroom.PARAMETERS)
    board = classroom.joined()
    kept = {
        name: value for name, value in params.items() if name in ("network", "class", "teacher", "present")
    }
    lesson = find_lesson(params.get("lesson", ""))
    if params.get("lesson") and lesson is None:
        st.warning(
            f"There is no lesson called {plain(params['lesson'][:40])}: it may come from another version of "
            "this "
            "program. All lessons are listed below.",
            icon=":material/link_off:",
        )
    if lesson is None:
        overview.show(board, kept)
    else:
        number = LESSONS.index(lesson) + 1
        title, choice = st.columns([2.2, 1], vertical_alignment="bottom")
        with title:
            st.page_link(
                lesson_view.PAGE, label="All lessons", icon=":material/arrow_back:", query_params=kept
            )
            st.markdown(f"## {number}. {plain(lesson.title)}")
            st.caption(f"Lesson {number} of {len(LESSONS)} · about {lesson.minutes} minutes")
        with choice:
            model = lesson_view.model_choice(results.models())
        state.publish_params(classroom.PARAMETERS, {**params, "lesson": lesson.id, "network": model})
        if params.get("present"):
            classroom.present(lesson, model, board if board and classroom.is_teacher(board) else None)
        else:
            try:
                lesson_view.show(lesson, model, kept)
            except PredictionError as problem:
                st.warning(plain(problem), icon=":material/edit:")
            classroom.send(board, lesson, model)
            if board is not None and lesson_view.attempt(lesson, model) is not None:
                classroom.shared_histogram(board, lesson)
    if memory.synchronise():
        st.rerun()
