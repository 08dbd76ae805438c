"""One model call at a time: who waits, how many are ahead, and whose wish a newer one has replaced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from functools import lru_cache

from ..errors import ExplorerError


class Superseded(ExplorerError):
    """The same person has asked for something newer; what was asked before need not be computed."""


@dataclass(eq=False)
class _Ticket:
    token: Hashable
    replaced: bool = False


class Turns:
    """A fair queue before one device: first come, first served, but a newer wish of the same token takes the place of an older one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._running: _Ticket | None = None

    def waiting(self) -> int:
        """How many calls wait or run now."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    @contextlib.contextmanager
    def turn(self, token: Hashable = None, on_place: Callable[[int], None] | None = None) -> Generator[None]:
        """Wait for the device, hold it for the body of the `with`, pass it on.

        `token` names who asks (a browser session; None: nobody in particular): a later call with the same token makes earlier ones
        that still wait raise Superseded, and inherits their place. `on_place` hears, in the calling thread, how many calls are ahead
        each time that number changes.
        """
        ticket = self._queue(token)
        try:
            self._await(ticket, on_place)
            yield
        finally:
            with self._changed:
                if self._running is ticket:
                    self._running = None
                elif ticket in self._waiting:
                    self._waiting.remove(ticket)
                self._changed.notify_all()

    def _queue(self, token: Hashable) -> _Ticket:
        ticket = _Ticket(token)
        with self._changed:
            older = [place for place, other in enumerate(self._waiting) if token is not None and other.token == token]
            for place in older:
                self._waiting[place].replaced = True
            if older:
                self._waiting[older[0]] = ticket
                self._waiting = [other for other in self._waiting if not other.replaced]
            else:
                self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    def _await(self, ticket: _Ticket, on_place: Callable[[int], None] | None) -> None:
        told: int | None = None
        while True:
            with self._changed:
                if ticket.replaced:
                    raise Superseded("A newer setting has replaced this one; its picture is on the way.")
                ahead = self._waiting.index(ticket) + (self._running is not None)
                if ahead == 0:
                    self._waiting.remove(ticket)
                    self._running = ticket
                    return
                if ahead == told or on_place is None:
                    self._changed.wait()
                    continue
            told = ahead
            on_place(ahead)  # outside the lock: it may draw on a page


@lru_cache(maxsize=8)
def turns(device_kind: str) -> Turns:  # noqa: ARG001 (the cache's key)
    """The process's one queue before a device."""
    return Turns()
