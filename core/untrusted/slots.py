"""Slots that callers share fairly, so that nobody who asks for many keeps the others waiting."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(eq=False)
class _WaitingCall:
    asker: Hashable
    number: int
    granted: bool = False


class Slots:
    """A number of slots. A free one goes to whoever holds fewest, then to whoever was served least recently.

    One asker holds at most all slots but one, so that others never wait for the end of its calls alone. The
    asker None, which stands for nobody in particular, may hold all of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[_WaitingCall] = []
        self._held: Counter[Hashable] = Counter()
        self._served: dict[Hashable, int] = {}

    def acquire(self, asker: Hashable, timeout_s: float) -> bool:
        """Wait for a slot; False if none was free in time."""
        with self._changed:
            ticket = _WaitingCall(asker, next(self._numbers))
            self._waiting.append(ticket)
            try:
                self._grant()
                return self._changed.wait_for(lambda: ticket.granted, timeout_s)
            finally:
                if not ticket.granted:
                    self._waiting.remove(ticket)
                    self._forget(asker)

    def release(self, asker: Hashable) -> None:
        """Return a slot."""
        with self._changed:
            self._held[asker] -= 1
            self._forget(asker)
            self._grant()

    def _grant(self) -> None:
        """Give free slots to those whose turn it is."""
        while self._held.total() < self._most:
            allowed = [ticket for ticket in self._waiting if self._may_hold_more(ticket.asker)]
            if not allowed:
                return
            ticket = min(allowed, key=self._order)
            self._waiting.remove(ticket)
            ticket.granted = True
            self._held[ticket.asker] += 1
            self._served[ticket.asker] = next(self._numbers)
            self._changed.notify_all()

    def _may_hold_more(self, asker: Hashable) -> bool:
        return asker is None or self._most == 1 or self._held[asker] < self._most - 1

    def _order(self, ticket: _WaitingCall) -> tuple[int, int, int]:
        return self._held[ticket.asker], self._served.get(ticket.asker, -1), ticket.number

    def _forget(self, asker: Hashable) -> None:
        """Drop the records of an asker that neither holds nor waits for a slot."""
        if not self._held[asker] and all(ticket.asker != asker for ticket in self._waiting):
            del self._held[asker]
            self._served.pop(asker, None)
