"""Report a component's state once: Streamlit keeps it after the run in which it changed."""

from __future__ import annotations

from typing import Any

import streamlit as st


class StateNews:
    """A component's state value, and which revision of it the page has applied.

    Streamlit returns a state value in every run after the one that it caused. If a page applied it again, an
    old painting would overwrite what a slider or link has changed since. Therefore each value carries a
    revision. A page first asks for a new value (`news`), applies it, and then draws the component with the
    result, which marks the revision as applied (`settle`). What is drawn is never older than what the page
    was given. If a run ends before it draws the component, the next run receives the same value again.
    """

    def __init__(self, key: str, state: str) -> None:
        self._received, self._applied = f"{key}:{state}:heard", f"{key}:{state}:settled"
        states = st.session_state.get(key)
        self._value = states.get(state) if isinstance(states, dict) else None

    def news(self) -> dict[str, Any] | None:
        """Return the value, or None if the page has applied its revision already."""
        revision = _revision(self._value)
        if not isinstance(self._value, dict) or revision <= int(st.session_state.get(self._applied, 0)):
            return None
        st.session_state[self._received] = revision
        return dict(self._value)

    def settle(self) -> int:
        """Mark all that the page received as applied; return the newest revision, which the browser needs."""
        newest = max(int(st.session_state.get(name, 0)) for name in (self._received, self._applied))
        st.session_state[self._applied] = newest
        return newest


def _revision(value: Any) -> int:
    if not isinstance(value, dict):
        return 0
    revision = value.get("revision", 0)
    return revision if isinstance(revision, int) else 0
