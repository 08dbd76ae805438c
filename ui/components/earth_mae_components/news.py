"""Report only new component state: the state persists after the run in which it changed."""

from __future__ import annotations

from typing import Any

import streamlit as st


class StateNews:
    """Which revision of a component's state the page has acted on.

    A Streamlit state value stays after the run that it caused. Were it handed out again, a page that has since changed its own
    mind (a slider, a link) would be overruled by an old painting. So every value carries a revision. A page first asks for what
    is new (`news`), stores what follows from it, and then draws the component with the result; drawing settles the account
    (`settle`). What is drawn is therefore never older than what the page was told. A run that is cut short before it drew the
    component leaves the account open, and the next run is told the same value again.
    """

    def __init__(self, key: str, state: str) -> None:
        self._heard, self._settled = f"{key}:{state}:heard", f"{key}:{state}:settled"
        held = st.session_state.get(key)
        self._value = held.get(state) if isinstance(held, dict) else None

    def news(self) -> dict[str, Any] | None:
        """Give the value if the page has not acted on its revision yet, else None."""
        revision = _revision(self._value)
        if revision <= int(st.session_state.get(self._settled, 0)):
            return None
        st.session_state[self._heard] = revision
        return dict(self._value)

    def settle(self) -> int:
        """Note that the page has acted on all it was told; gives the newest such revision, which the browser needs."""
        newest = max(int(st.session_state.get(name, 0)) for name in (self._heard, self._settled))
        st.session_state[self._settled] = newest
        return newest


def _revision(value: Any) -> int:
    if not isinstance(value, dict):
        return 0
    revision = value.get("revision", 0)
    return revision if isinstance(revision, int) else 0
