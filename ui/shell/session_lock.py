"""One lock for the state of a session, whichever script run reads or writes it.

When a user moves on, Streamlit starts a new script run at once, while the old one goes on to its next
command. Each run guards the same state with a lock of its own, so a write of the old run can fall into a read
of the new one, which then ends in "dictionary changed size during iteration". With 25 people who move a
slider, this happened about once in 1,500 moves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import SessionState

_LOCK = "lock shared by all runs"


def share_session_locks() -> None:
    """Let all runs of a session share one lock. Call it before the first session.

    Streamlit has no public API for this.
    """
    with_lock_of_its_own = SafeSessionState.__init__

    def with_shared_lock(
        self: SafeSessionState, state: SessionState, yield_callback: Callable[[], None]
    ) -> None:
        with_lock_of_its_own(self, state, yield_callback)
        object.__setattr__(self, "_lock", vars(state.query_params).setdefault(_LOCK, threading.RLock()))

    SafeSessionState.__init__ = with_shared_lock
