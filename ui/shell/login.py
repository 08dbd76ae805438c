"""The password of a server for others: a login form, a signed cookie, and a limit on guesses."""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from streamlit import config

COOKIE = "earth_mae_session"
LASTS_S = 7 * 86_400
MAX_BODY_BYTES = 4096
MAX_NEXT = 2000
WINDOW_S = 60.0
MAX_WRONG, MAX_WRONG_IN_ALL = 5, 60
MAX_ADDRESSES = 10_000
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
}
_FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Earth MAE Explorer</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 22rem; margin: 18vh auto 0; padding: 0 1rem }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; margin-top: .5rem }}
</style></head><body>
<h1>Earth MAE Explorer</h1>
<form method="post" action="{action}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{next}">
<button>Log in</button>
</form><p role="alert">{problem}</p></body></html>"""


class Attempts:
    """Counts wrong passwords within the time window, per address and in total. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._wrong: dict[str, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=MAX_WRONG_IN_ALL)

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        with self._lock:
            now = self._clock()
            mine = self._wrong.get(address, deque())
            waits = [
                times[0] + WINDOW_S - now
                for times, most in ((mine, MAX_WRONG), (self._all, MAX_WRONG_IN_ALL))
                if _recent(times, now) >= most
            ]
            return max(waits, default=0.0)

    def wrong(self, address: str) -> None:
        """Record a wrong password."""
        with self._lock:
            now = self._clock()
            if len(self._wrong) >= MAX_ADDRESSES:
                self._wrong = {one: times for one, times in self._wrong.items() if _recent(times, now)}
            self._wrong.setdefault(address, deque(maxlen=MAX_WRONG)).append(now)
            self._all.append(now)


class Login:
    """Checks whether a request is logged in, and answers login requests."""

    def __init__(self, password: str, clock: Callable[[], float] = time.time) -> None:
        self._digest = hashlib.sha256(password.encode()).digest()
        self._key = secrets.token_bytes(32)  # new on each start, so a restart asks everybody to log in again
        self._clock = clock
        self.attempts = Attempts()

    def holds(self, cookies: Mapping[str, str]) -> bool:
        """Whether these cookies contain a valid login that has not expired."""
        until, _, seal = cookies.get(COOKIE, "").partition(".")
        if not (until.isascii() and until.isdecimal() and len(until) <= 12):
            return False
        return hmac.compare_digest(seal.encode(), self._seal(until)) and self._clock() < int(until)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request without login: with the form, the result of a submitted form, or a refusal."""
        path, headers = scope["path"], Headers(scope=scope)
        if scope["method"] == "POST" and path == _action():
            response = self._submitted(scope, await _read(receive))
        elif scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope["query_string"].decode("latin-1")
            response = _form("/" if path == _action() else path + (f"?{query}" if query else ""))
        else:
            response = PlainTextResponse("Log in first.", 401, HEADERS)
        await response(scope, receive, send)

    def _submitted(self, scope: Scope, body: bytes | None) -> Response:
        address = scope["client"][0] if scope.get("client") else ""
        fields = {} if body is None else parse_qs(body.decode("utf-8", "replace"))
        to = _local_path(fields.get("next", ["/"])[0])
        if wait_s := self.attempts.wait_s(address):
            seconds = max(1, round(wait_s))
            return _form(
                to, f"Too many wrong passwords: try again in {seconds} s.", 429, {"Retry-After": str(seconds)}
            )
        password = hashlib.sha256(fields.get("password", [""])[0].encode()).digest()
        if not hmac.compare_digest(password, self._digest):
            self.attempts.wrong(address)
            return _form(to, "Wrong password.", 401)
        until = str(int(self._clock()) + LASTS_S)
        response = RedirectResponse(to, 303, HEADERS)
        value = f"{until}.{self._seal(until).decode()}"
        response.set_cookie(COOKIE, value, LASTS_S, httponly=True, samesite="lax", secure=is_https(scope))
        return response

    def _seal(self, until: str) -> bytes:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest().encode()


def is_https(scope: Scope) -> bool:
    """Whether the browser uses https, directly or with the proxy in front of this server."""
    return scope.get("scheme") == "https" or Headers(scope=scope).get("x-forwarded-proto", "") == "https"


def _recent(times: deque[float], now: float) -> int:
    while times and now - times[0] >= WINDOW_S:
        times.popleft()
    return len(times)


async def _read(receive: Receive) -> bytes | None:
    """The body of a form; None if it is longer than this form can send."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False) and message["type"] == "http.request"
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def _action() -> str:
    base = (config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}/login" if base else "/login"


def _local_path(path: str) -> str:
    """The path if it is a plain path on this server, else "/"."""
    plain = (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isprintable()
        and len(path) <= MAX_NEXT
    )
    return path if plain and path.isascii() else "/"


def _form(to: str, problem: str = "", status: int = 401, more: Mapping[str, str] | None = None) -> Response:
    page = _FORM.format(
        action=html.escape(_action()), next=html.escape(_local_path(to)), problem=html.escape(problem)
    )
    return HTMLResponse(page, status, {**HEADERS, **(more or {})})
