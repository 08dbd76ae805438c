"""Evaluate: start evaluations, read their numbers with intervals, compare two models, see where one goes wrong."""

import streamlit as st

from core.viz.evaluation import scale_chart
from ui.evaluate import evaluations
from ui.evaluate.form import start_form
from ui.evaluate.sections import details, duplicates
from ui.evaluate.table import table
from ui.shell.escaping import plain
from ui.shell.ownership import may_control
from ui.shell.page import in_a_sentence, page
from ui.train.claims import three_papers

ROOM = "<style>[data-testid=stMultiSelect] div[role=group]{max-height:24rem}</style>"
"""Every chosen model is seen."""


def follow(watched: bool) -> None:
    """The evaluation under way, with the time left and a way to stop it; where it is `watched` and ends, the whole page runs again."""
    job = evaluations.current()
    if job is None:
        return
    if watched and job.over:
        st.rerun()
    if job.problem:
        st.error(plain(job.problem), icon=":material/error:")
    if job.over:
        numbers = f"{job.finished} number{'s' * (job.finished != 1)}"
        ended = "Stopped" if job.stop.is_set() else "Ended early" if job.problem else ""
        st.caption(f"{ended} after {numbers}; they are kept." if ended else f"Done: {numbers}.")
        for sentence in job.notices:
            st.caption(f":orange[:material/info:] {sentence}")
        if job.said:
            st.caption(f"Run again: {plain(job.said)}")
        return
    told = job.progress
    left = f", about {told.seconds_left:.0f} s left" if told and told.seconds_left is not None else ""
    st.progress(
        told.share if told else 0.0,
        text=f"{plain(told.text) if told else 'reading the images'}{left} · {job.finished} numbers so far",
    )
    mine = may_control(job.started_by)
    kept = "Finished numbers are kept; the next start goes on from there."
    if st.button(
        "Stop",
        icon=":material/stop:",
        help=kept if mine else "Only the browser that started it can stop it.",
        disabled=not mine,
    ):
        job.stop.set()


with page(
    "Evaluate", "Numbers one can trust: every one with its interval, its recipe, and the images it got wrong."
):
    st.html(ROOM)
    left, right = st.columns([1, 3.7], gap="small")
    with left, in_a_sentence():
        st.fragment(start_form)()
        watched = evaluations.under_way()
        st.fragment(follow, run_every=1.0 if watched else None)(
            watched
        )  # runs that change nothing would hold back the table's first drawing
    with right, in_a_sentence():
        held = evaluations.numbers()
        places = list(held)
        place = (
            st.segmented_control("Numbers", places, default=places[0], key="numbers from", required=True)
            if len(places) > 1
            else "".join(places)
        )
        if not place:
            st.info(
                "No numbers yet. Start with the colour histogram on the left: every network should beat it.",
                icon=":material/leaderboard:",
            )
        elif shown := table(place, held[place]):
            for kind in ("knn", "sweep", "segmentation"):
                swept = [r for r in shown if r.recipe.protocol == kind]
                swept = [r for r in swept if r.recipe.data == swept[0].recipe.data]
                if len({r.recipe.scale for r in swept}) > 1:
                    st.markdown(
                        f"**{plain(swept[0].recipe.data)} over scales** (the first set shown: choose another under Set)"
                    )
                    st.plotly_chart(scale_chart(swept), key=f"over scales {kind}")
            details(shown)
        duplicates()
    st.divider()
    three_papers()
