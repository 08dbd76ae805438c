"""The running evaluation on the page: progress, Stop, how it ended, and Resume."""

from __future__ import annotations

import streamlit as st

from core.evaluation.process import EvaluationRun
from core.units import duration
from ui.evaluate import evaluations
from ui.shell.escaping import plain
from ui.shell.ownership import NOT_YOURS, may_control
from ui.shell.page import in_a_sentence


def follow_evaluation(watched: bool) -> None:
    """Show the running or most recent evaluation, if any.

    With `watched`, the whole page runs again when the evaluation ends.
    """
    run = evaluations.run()
    if not run.exists:
        return
    mine = may_control(run.folder)
    if run.running:
        _progress(run, mine)
    elif watched:
        st.rerun()
    else:
        _outcome(run, mine)


def _progress(run: EvaluationRun, mine: bool) -> None:
    status = run.status
    now = status.progress
    left = f", about {duration(now.seconds_left)} left" if now and now.seconds_left is not None else ""
    st.progress(
        now.share if now else 0.0,
        text=f"{plain(now.text) if now else 'Reading the images'}{left} · {status.completed} results so far",
    )
    for line in status.latest:
        st.caption(plain(line))
    st.button(
        "Stop",
        icon=":material/stop:",
        help="Finished results are kept, and the evaluation can be resumed." if mine else NOT_YOURS,
        disabled=not mine or run.stop_requested,
        on_click=run.stop,
    )


def _outcome(run: EvaluationRun, mine: bool) -> None:
    status, problem = run.status, run.problem
    if problem:
        st.error(plain(problem), icon=":material/error:")
    results = f"{status.completed} result{'s' * (status.completed != 1)}"
    ending = "Ended early" if problem else "Stopped" if run.stop_requested else ""
    st.caption(f"{ending} after {results}, which are kept." if ending else f"Done: {results}.")
    for sentence in status.notices:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    if status.rerun_summary:
        st.caption(f"Run again: {plain(status.rerun_summary)}")
    if ending and st.button(
        "Resume", icon=":material/play_arrow:", help=None if mine else NOT_YOURS, disabled=not mine
    ):
        with in_a_sentence():
            run.resume()
            st.rerun()
