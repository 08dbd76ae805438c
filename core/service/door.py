"""Checks before a request is answered: host and origin, token, rate, size and time; and its metrics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = frozenset({"/health"})
BODY_WAIT_S = 30.0
MOST_CLIENTS = 4096
DISCARDED_TIMES = 4
"""How much of a body that is too large is read, in units of the limit."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class BodyError(Exception):
    """A body that is too large or too slow; `answer` says so."""

    def __init__(self, answer: JSONResponse) -> None:
        super().__init__()
        self.answer = answer


@dataclass
class Rate:
    """A token bucket for each client: `per_minute` requests on average, as many at once; 0: unlimited."""

    per_minute: int
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, client: str) -> float:
        """Count a request; 0 if it may pass, else the seconds until the next one may."""
        if not self.per_minute:
            return 0.0
        now = time.monotonic()
        left, seen = self._left.pop(client, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - seen) * self.per_minute / 60)
        may_pass = left >= 1
        self._left[client] = (left - may_pass, now)
        while len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if may_pass else (1 - left) * 60 / self.per_minute


class Door:
    """ASGI middleware in front of the service."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: CollectorRegistry,
        paths: Iterable[str],
        token: str | None,
        names: Iterable[str],
        per_minute: int,
        max_bytes: int,
    ) -> None:
        self._app, self._token, self._max_bytes = app, token, max_bytes
        self._names, self._rate, self._paths = frozenset(names), Rate(per_minute), frozenset(paths)
        self._count = Counter(
            "earth_mae_requests", "Requests answered", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "earth_mae_request_seconds", "Seconds from request to answer", ["path"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or forward it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        started, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, counted)
        finally:
            self._count.labels(path, str(status)).inc()
            self._seconds.labels(path).observe(time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers)
        try:
            if answer is None:
                await self._app(scope, self._bounded(receive), send)
        except BodyError as error:
            answer = error.answer
        if answer is not None:
            if answer.status_code == 413:
                await self._discard(receive)
            await answer(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._names and hostname(host) not in self._names:
            return problem(
                421, "This service does not answer to this host name: ask its owner for the address."
            )
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != host:
            return problem(403, "Pages of other sites may not use this service.")
        if scope["path"] in OPEN:
            return None
        if self._token and not _matches(headers.get("authorization", ""), self._token):
            return problem(
                401,
                "Send the header 'Authorization: Bearer TOKEN' with the token of this service.",
                {"WWW-Authenticate": "Bearer"},
            )
        client = scope.get("client")
        if wait_s := self._rate.wait_s(client[0] if client else ""):
            return problem(
                429, "Too many requests in the last minute: wait a little.", {"Retry-After": f"{wait_s:.0f}"}
            )
        length = headers.get("content-length", "")
        return self._too_large() if length.isdecimal() and int(length[:18]) > self._max_bytes else None

    async def _discard(self, receive: Receive) -> None:
        """Read on within limits, because most clients read an answer only when they have sent everything."""
        received, more = 0, True
        with suppress(TimeoutError):
            async with asyncio.timeout(BODY_WAIT_S):
                while more and received < DISCARDED_TIMES * self._max_bytes:
                    message = await receive()
                    received += len(message.get("body", b""))
                    more = message.get("more_body", False)

    def _too_large(self) -> JSONResponse:
        return problem(413, f"A request may have at most {self._max_bytes // 2**20} MB: send less at once.")

    def _bounded(self, receive: Receive) -> Receive:
        """Receive a body within the limits of size and time."""
        received, complete = 0, False

        async def next_message() -> Message:
            nonlocal received, complete
            if complete:  # nothing is left but the disconnect, which may take as long as the answer
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), BODY_WAIT_S)
            except TimeoutError:
                raise BodyError(problem(408, "The request did not arrive in time: send it again.")) from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise BodyError(self._too_large())
            return message

        return next_message


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as the service sends it: `{"error": sentence}`."""
    return JSONResponse({"error": sentence}, status, headers)


def hostname(host: str) -> str:
    """The name in a Host header, without the port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _matches(header: str, token: str) -> bool:
    scheme, _, given = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
