"""A page that waits in the queue: its position is updated rarely, and a newer run ends it at once."""

import pytest

from ui.shell import state, waiting
from ui.shell.waiting import position


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves, and a session in which nothing has changed."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(state, "end_if_replaced", lambda: None)
    return now


def test_a_changed_position_is_drawn_at_most_once_a_second_and_the_turn_at_once(clock):
    positions: list[int] = []
    on_place = position(positions.append)
    for now, ahead in ((0.5, 9), (1.1, 8), (1.3, 7), (2.0, 6), (2.2, 5), (2.3, 5), (2.4, 0)):
        clock[0] = now
        on_place(ahead)
    assert positions == [8, 5, 0]


def test_a_turn_that_comes_at_once_draws_nothing(clock):
    positions: list[int] = []
    position(positions.append)(0)
    assert positions == []


def test_a_newer_run_ends_the_waiting_without_drawing(clock, monkeypatch):
    def ended() -> None:
        raise InterruptedError

    positions: list[int] = []
    on_place = position(positions.append)
    clock[0] = 5.0
    monkeypatch.setattr(state, "end_if_replaced", ended)
    with pytest.raises(InterruptedError):
        on_place(3)
    assert positions == []


def test_reading_the_session_state_ends_a_run_that_was_replaced(monkeypatch):
    """Streamlit ends a run when its session state is read; `end_if_replaced` relies on that."""
    from streamlit.runtime.state import SafeSessionState, SessionState

    def replaced() -> None:
        raise InterruptedError

    monkeypatch.setattr(
        "streamlit.runtime.state.session_state_proxy.get_session_state",
        lambda: SafeSessionState(SessionState(), yield_callback=replaced),
    )
    with pytest.raises(InterruptedError):
        state.end_if_replaced()
