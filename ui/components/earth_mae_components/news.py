"""Tell a page only what is new: a component's state outlives the run in which it changed."""

from __future__ import annotations

from typing import Any

import streamlit as st


class Ledger:
    """The last revision of one component's state that was handed to the page.

    A Streamlit state value stays after the run that it caused. Were it handed out again, a page that has since changed its own
    mind (a slider, a link) would be overruled by an old painting. So every value carries a revision, and each is handed out once.
    """

    def __init__(self, key: str, state: str) -> None:
        self._slot = f"{key}:{state}:seen"
        held = st.session_state.get(key)
        value = held.get(state) if isinstance(held, dict) else None
        self.known: int = max(_revision(value), int(st.session_state.get(self._slot, 0)))
        """The newest revision the browser has told us, now or before the component left the page."""

    def news(self, value: Any) -> dict[str, Any] | None:
        """Give the value if its revision was not seen before, else None."""
        revision = _revision(value)
        if revision <= int(st.session_state.get(self._slot, 0)):
            return None
        st.session_state[self._slot] = revision
        return dict(value)


def _revision(value: Any) -> int:
    if not isinstance(value, dict):
        return 0
    revision = value.get("revision", 0)
    return revision if isinstance(revision, int) else 0
