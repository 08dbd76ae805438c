"""A fair queue for the device: newer requests replace older ones, equal ones share a call."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from ..errors import ExplorerError

Request = TypeVar("Request")
Answer = TypeVar("Answer")
MOST_TOGETHER = 16
"""Most requests in one call, so that the first does not wait long for the last."""
REPORT_EVERY_S = 0.2
"""Interval at which a waiting request reports its place, so that its caller can withdraw it soon."""
PATIENCE_S = 5.0
"""How long a patient request lets others go first."""


class Superseded(ExplorerError):
    """A newer request of the same session replaces this one, so it need not be computed."""


@dataclass(eq=False)
class _Ticket:
    token: Hashable
    changed: threading.Condition
    replaced: bool = False
    patient_until: float = 0.0
    kind: Hashable = None
    request: Any = None
    work: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    answers: list[Any] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def answered(self) -> bool:
        return bool(self.answers) or self.error is not None


class Turns:
    """A queue for one device: first come, first served; a newer request replaces an older of its token.

    `at_once` requests run side by side.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._running: list[_Ticket] = []
        self.at_once = at_once
        self._free = threading.Condition(self._lock)
        self._workers = ThreadPoolExecutor(at_once, "device")

    def waiting(self) -> int:
        """Return how many requests wait or run now."""
        with self._lock:
            return len(self._waiting) + len(self._running)

    @contextlib.contextmanager
    def turn(
        self, token: Hashable = None, on_place: Callable[[int], None] | None = None, *, patient: bool = False
    ) -> Generator[None]:
        """Context that waits for the device and holds it.

        `token` identifies a browser session (or None): a later request of the same token makes earlier
        waiting ones raise Superseded, and takes their place. `on_place` is called in this thread with the
        number of requests ahead every REPORT_EVERY_S seconds, and with 0 at the start; if it raises, the
        request is withdrawn. A `patient` request lets others go first for
        PATIENCE_S.
        """
        ticket = self._queue(
            _Ticket(
                token,
                threading.Condition(self._lock),
                patient_until=time.monotonic() + PATIENCE_S if patient else 0.0,
            )
        )
        try:
            self._await(ticket, on_place)
            yield
        finally:
            self._leave(ticket)

    def share(
        self,
        kind: Hashable,
        request: Request,
        work: Callable[[Sequence[Request]], Sequence[Answer]],
        token: Hashable = None,
        on_place: Callable[[int], None] | None = None,
    ) -> Answer:
        """Wait for the device and return the answer of `work` to a request.

        Other requests of the same `kind` that wait share the call: `work` receives up to MOST_TOGETHER
        requests and answers each in order; its error is raised for all of them. It is called in a thread of
        the queue, which takes up the next call at once: were it called by those who wait, the device would
        idle for a third of the time while 25 of them wake one another. `token` and `on_place` are as in
        `turn`, but 0 is reported with the answer.
        """
        ticket = self._queue(
            _Ticket(token, threading.Condition(self._lock), kind=kind, request=request, work=work)
        )
        self._workers.submit(self._serve)
        try:
            self._await(ticket, on_place)
        finally:
            self._leave(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answers[0]

    def _serve(self) -> None:
        """Answer the next shared request, and those like it, once its turn has come."""
        with self._lock:
            while any(ticket.work for ticket in self._waiting):
                first = self._order()[0]
                if len(self._running) < self.at_once and (work := first.work):
                    break
                self._free.wait()
            else:
                return  # another call answered it, or it was withdrawn
            alike = [other for other in self._waiting if other.work and other.kind == first.kind]
            together = [first, *(other for other in alike if other is not first)][:MOST_TOGETHER]
            self._waiting = [other for other in self._waiting if other not in together]
            self._running.append(first)
        try:
            self._answer(together, work)
        finally:
            with self._lock:
                self._running.remove(first)
                for ticket in together:
                    ticket.changed.notify()
                self._wake_next()

    def _answer(self, tickets: list[_Ticket], work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        try:
            answers = work([ticket.request for ticket in tickets])
        except BaseException as error:
            for ticket in tickets:
                ticket.error = error
        else:
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answers.append(answer)

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif ticket in self._running and ticket.work is None:
                self._running.remove(ticket)
            self._wake_next()

    def _wake_next(self) -> None:
        """Wake whoever's turn has come.

        Nobody else: with 25 people, waking everybody at each change took a twentieth of the time.
        """
        self._free.notify()
        if len(self._running) < self.at_once and self._waiting and self._order()[0].work is None:
            self._order()[0].changed.notify()

    def _queue(self, ticket: _Ticket) -> _Ticket:
        """Put a ticket in line, in the place of an older one of its token."""
        with self._lock:
            older = [
                place
                for place, other in enumerate(self._waiting)
                if ticket.token is not None and other.token == ticket.token
            ]
            for place in older:
                self._waiting[place].replaced = True
                self._waiting[place].changed.notify()
            if older:
                self._waiting[older[0]] = ticket
                self._waiting = [other for other in self._waiting if not other.replaced]
            else:
                self._waiting.append(ticket)
        return ticket

    def _order(self) -> list[_Ticket]:
        """Return the waiting requests in the order of their turns."""
        now = time.monotonic()
        return sorted(self._waiting, key=lambda other: other.patient_until > now)

    def _await(self, ticket: _Ticket, on_place: Callable[[int], None] | None) -> None:
        """Wait until a ticket is answered, or holds the device if it brings no work."""
        next_report = time.monotonic() + REPORT_EVERY_S
        while True:
            with self._lock:
                if ticket.replaced:
                    raise Superseded("A newer setting has replaced this one; its result is being computed.")
                ahead, done = self._ahead(ticket), ticket.answered
                if ahead == 0 and ticket.work is None:
                    self._waiting.remove(ticket)
                    self._running.append(ticket)
                    self._wake_next()
                    done = True
                elif ahead == 0 and not done:  # it is computed now, or next
                    ticket.changed.wait()
                    continue
                elif not done and (on_place is None or time.monotonic() < next_report):
                    ticket.changed.wait(REPORT_EVERY_S)
                    continue
            if on_place is not None:
                next_report = time.monotonic() + REPORT_EVERY_S
                on_place(ahead)  # outside the lock: it may update a page, and raise
            if done:
                return

    def _ahead(self, ticket: _Ticket) -> int:
        """How many others come before a ticket; 0 once it is being computed or answered."""
        if ticket not in self._waiting:
            return 0
        return max(0, self._order().index(ticket) + 1 + len(self._running) - self.at_once)


@lru_cache(maxsize=8)
def turns(device_kind: str) -> Turns:
    """Return the queue of this process for a device. A CPU of several cores runs two requests at once."""
    return Turns(min(2, os.cpu_count() or 1) if device_kind == "cpu" else 1)
