"""What a page shows while its request waits, without holding up a newer run of the same session."""

from __future__ import annotations

import time
from collections.abc import Callable

from ui.shell import state

DRAW_EVERY_S = 1.0
"""For 25 people, drawing every change of a position used a quarter of the CPU."""


def position(draw: Callable[[int], object]) -> Callable[[int], None]:
    """Return a callback for the number of requests ahead, which the queue calls several times a second.

    It draws a number that has changed, at most once a second, and 0 at once. Each call ends a script run that
    a newer run of the same session has replaced, so that nothing outdated is waited for or computed.
    """
    shown, next_time = 0, time.monotonic() + DRAW_EVERY_S

    def on_place(ahead: int) -> None:
        nonlocal shown, next_time
        state.end_if_replaced()
        if ahead != shown and (ahead == 0 or time.monotonic() >= next_time):
            draw(ahead)
            shown, next_time = ahead, time.monotonic() + DRAW_EVERY_S

    return on_place
