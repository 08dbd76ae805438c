"""A fair queue for the device: one model call at a time, newer requests replace older ones, equal ones
share a call."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from ..errors import ExplorerError

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
MOST_TOGETHER = 16
"""Requests answered in one call: more would make the first of them wait for the last."""
TELL_EVERY_S = 1.0
"""How often a waiting request hears its place: with 25 people, a message for every change took a quarter of
the processor."""
PATIENCE_S = 5.0
"""How long a request that lets others go first does so."""


class Superseded(ExplorerError):
    """A newer request of the same session replaces this one, so it need not be computed."""


@dataclass(eq=False)
class _Ticket:
    token: Hashable
    replaced: bool = False
    patient_until: float = 0.0
    kind: Hashable = None
    asked: Any = None
    answers: list[Any] = field(default_factory=list)
    problem: BaseException | None = None

    @property
    def answered(self) -> bool:
        return bool(self.answers) or self.problem is not None


class Turns:
    """A fair queue before one device: first come, first served, but a newer request with the same token
    takes the place of an older one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._running: _Ticket | None = None

    def waiting(self) -> int:
        """How many calls wait or run now."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    @contextlib.contextmanager
    def turn(
        self,
        token: Hashable = None,
        on_place: Callable[[int], None] | None = None,
        *,
        patient: bool = False,
    ) -> Generator[None]:
        """Wait for the device, hold it for the body of the `with`, pass it on.

        `token` names who asks (a browser session; None: nobody in particular): a later call with the same
        token makes earlier ones that still wait raise Superseded, and inherits their place. `on_place` is
        called, in the calling thread, with the number of requests ahead if that has changed in the last
        TELL_EVERY_S seconds, and with 0 when the turn has come; what it raises gives the turn up. A `patient`
        request lets all others go first for PATIENCE_S.
        """
        ticket = self._queue(_Ticket(token, patient_until=time.monotonic() + PATIENCE_S if patient else 0.0))
        try:
            self._await(ticket, on_place)
            yield
        finally:
            self._leave(ticket)

    def share(
        self,
        kind: Hashable,
        asked: Asked,
        work: Callable[[Sequence[Asked]], Sequence[Answer]],
        token: Hashable = None,
        on_place: Callable[[int], None] | None = None,
    ) -> Answer:
        """Wait for the device and give what `work` makes of `asked`.

        Whatever else waits under the same `kind` goes into the same call.

        `work` receives up to MOST_TOGETHER requests and answers each of them in order; its error reaches
        everybody whose request was in the call. `token` and `on_place` are as in `turn`.
        """
        ticket = self._queue(_Ticket(token, kind=kind, asked=asked))
        try:
            self._await(ticket, on_place)
            if not ticket.answered:
                self._answer([ticket, *self._alike(ticket)], work)
        finally:
            self._leave(ticket)
        if ticket.problem is not None:
            raise ticket.problem
        return ticket.answers[0]

    def _alike(self, ticket: _Ticket) -> list[_Ticket]:
        """Take out of the queue what can be computed together with a ticket."""
        with self._changed:
            found = [
                other for other in self._waiting if other.kind is not None and other.kind == ticket.kind
            ][: MOST_TOGETHER - 1]
            self._waiting = [other for other in self._waiting if other not in found]
            return found

    def _answer(self, tickets: list[_Ticket], work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        try:
            answers = work([ticket.asked for ticket in tickets])
        except BaseException as problem:
            for ticket in tickets:
                ticket.problem = problem
        else:
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answers.append(answer)

    def _leave(self, ticket: _Ticket) -> None:
        with self._changed:
            if self._running is ticket:
                self._running = None
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            self._changed.notify_all()

    def _queue(self, ticket: _Ticket) -> _Ticket:
        token = ticket.token
        with self._changed:
            older = [
                place
                for place, other in enumerate(self._waiting)
                if token is not None and other.token == token
            ]
            for place in older:
                self._waiting[place].replaced = True
            if older:
                self._waiting[older[0]] = ticket
                self._waiting = [other for other in self._waiting if not other.replaced]
            else:
                self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    def _ahead(self, ticket: _Ticket) -> int:
        """How many waiting requests go first."""
        now = time.monotonic()
        order = sorted(self._waiting, key=lambda other: other.patient_until > now)
        return order.index(ticket)

    def _await(self, ticket: _Ticket, on_place: Callable[[int], None] | None) -> None:
        told, next_time = 0, time.monotonic() + TELL_EVERY_S
        while True:
            with self._changed:
                if ticket.replaced:
                    raise Superseded("A newer setting has replaced this one; its result is being computed.")
                if ticket.answered:
                    return
                if ticket not in self._waiting:  # another thread computes it in its own call
                    self._changed.wait()
                    continue
                ahead = self._ahead(ticket) + (self._running is not None)
                if ahead == 0:
                    self._waiting.remove(ticket)
                    self._running = ticket
                elif on_place is None or ahead == told or time.monotonic() < next_time:
                    self._changed.wait(TELL_EVERY_S)
                    continue
            if on_place is not None:
                told, next_time = ahead, time.monotonic() + TELL_EVERY_S
                on_place(ahead)  # outside the lock: it may draw on a page, and end the call there
            if ahead == 0:
                return


@lru_cache(maxsize=8)
def turns(device_kind: str) -> Turns:  # noqa: ARG001 (the cache's key)
    """The process's one queue before a device."""
    return Turns()
