"""The tour of a lab in the sidebar: five steps, dismissible, and not shown again in that browser."""

from __future__ import annotations

import streamlit as st

from core.lessons.tours import TOURS
from ui.learn import memory
from ui.shell import state
from ui.shell.page import labs


def tour(lab: str) -> None:
    """Offer the tour of a lab in the sidebar, unless this browser has dismissed it."""
    with st.sidebar:
        _steps(lab)


@st.fragment
def _steps(lab: str) -> None:
    """One step, with buttons to move on and to dismiss the tour.

    Reruns alone, without the lab.
    """
    memory.synchronise()
    if f"no tour {lab.lower()}" in memory.remembered():
        return
    steps, name = TOURS[lab], f"tour {lab}"
    at = state.recall(name, -1)
    with st.container(border=True):
        if at < 0:
            st.markdown(f"**First visit?** Five steps show what the {lab} page does.")
        else:
            step = steps[at]
            st.markdown(f"**{at + 1} of {len(steps)}: {step.do}**  \n{step.notice}")
            if step.lesson:
                st.page_link(labs()["Learn"], label="Lesson on this", query_params={"lesson": step.lesson})
        onward, away = st.columns(2)
        with onward:
            if at < len(steps) - 1:
                label = "Start" if at < 0 else "Next"
                st.button(label, key=f"{name} next", on_click=state.keep, args=(name, at + 1))
        with away:
            label = "No, thanks" if at < 0 else "End tour"
            word = f"no tour {lab.lower()}"
            st.button(label, key=f"{name} end", type="tertiary", on_click=memory.remember, args=(word,))
