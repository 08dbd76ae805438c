"""Two script runs of one session, the old one on its way out, use its state at the same time."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import SessionState

from ui.shell.session_lock import share_session_locks


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads take turns as often as they can; Streamlit is as before after the test."""
    monkeypatch.setattr(SafeSessionState, "__init__", SafeSessionState.__init__)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_of(state: SessionState) -> SafeSessionState:
    return SafeSessionState(state, lambda: None)


def read_while_another_run_writes(state: SessionState) -> None:
    old, new, done = run_of(state), run_of(state), threading.Event()

    def write() -> None:
        for n in itertools.count():
            old[f"written {n}"] = n
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            _ = new.filtered_state
    finally:
        done.set()
        writer.join()


def test_a_run_reads_the_state_while_an_older_one_writes() -> None:
    share_session_locks()
    state = SessionState()
    for n in range(1000):
        state[f"held {n}"] = n
    read_while_another_run_writes(state)


def test_sessions_do_not_wait_for_each_other() -> None:
    share_session_locks()
    one, other = SessionState(), SessionState()
    assert run_of(one)._lock is run_of(one)._lock
    assert run_of(one)._lock is not run_of(other)._lock
