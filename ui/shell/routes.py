"""The app's own HTTP routes: points, colours, maps and their tiles, and small pictures, each for one session only.

An address contains only an unguessable id of something in memory; no route takes a path or a name. The id belongs to the session
that shared it. A request is answered only if

- the id exists, for this kind of payload;
- the session that owns it is connected (its browser tab is open);
- the request carries the cookie `_streamlit_xsrf` with which that session connected, so the id is useless in another browser.
  (Tabs of one browser share the cookie. A program that steals both cookie and id cannot be told from the owner.)
- the browser, if it sends `Sec-Fetch-Site`, says that the request comes from a page of this server.

If Streamlit's XSRF protection is off there is no cookie, and only id, session and origin are checked. Every failure gives the same
404. A minute after a session has closed, what it shared is deleted.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime import Runtime
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token

from core.errors import ExplorerError

Kind = Literal["points", "colours", "tiles", "pictures", "maps"]
COOKIE = "_streamlit_xsrf"
OWNER_COOKIE = "earth_mae_owner"
"""Cookie with the key of a browser's background jobs (`ui/shell/guard.py`)."""
GRACE_S = 60.0
SWEEP_S = 15.0
MOST_OF_A_SESSION = 64
PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
AS_IS = {**PRIVATE, "Content-Encoding": "identity"}
"""Without this, Streamlit would compress them at every request: half a second for a million points, to save a tenth."""
GONE = "There is nothing at this address for you: reload the page that it came from."


@dataclass(eq=False)
class Shared:
    """A payload of one session: bytes, or a function of the address's numbers that returns bytes (or None)."""

    session_id: str
    kind: Kind
    name: str | None
    payload: Any
    cookie: str | None


def connected(session_id: str) -> bool:
    """Whether a session's browser tab is connected to this server now."""
    return Runtime.exists() and Runtime.instance().is_active_session(session_id)


class Shelf:
    """What all sessions share, by id. Safe to use from any thread."""

    def __init__(
        self,
        alive: Callable[[str], bool] = connected,
        *,
        grace_s: float = GRACE_S,
        sweep_s: float | None = SWEEP_S,
    ) -> None:
        self._alive, self._grace_s, self._sweep_s = alive, grace_s, sweep_s
        self._lock = threading.Lock()
        self._held: dict[str, Shared] = {}
        self._seen: dict[str, float] = {}
        self._sweeper: threading.Thread | None = None

    def put(
        self, session_id: str, kind: Kind, payload: Any, *, name: str | None = None, cookie: str | None = None
    ) -> str:
        """Hold something for a session and give its id: the same one as before where this very thing, or an equal one, was shared before.

        With a `name`, what the session shared before under it is let go. A session holds at most 64 things; the oldest go.
        """
        with self._lock:
            mine = {key: one for key, one in self._held.items() if one.session_id == session_id}
            for key, one in mine.items():
                if (
                    one.kind == kind
                    and one.name == name
                    and (one.payload is payload or one.payload == payload)
                ):
                    one.cookie = cookie or one.cookie
                    return key
            old = [
                key for key, one in mine.items() if name is not None and (one.kind, one.name) == (kind, name)
            ]
            for key in [*old, *list(mine)[: max(0, len(mine) - len(old) - MOST_OF_A_SESSION + 1)]]:
                self._held.pop(key, None)
            key = secrets.token_urlsafe(16)
            self._held[key] = Shared(session_id, kind, name, payload, cookie)
            self._seen[session_id] = time.monotonic()
            self._watch()
            return key

    def get(self, kind: Kind, key: str, cookie: str | None) -> Shared | None:
        """What an id stands for, if it may be had by whoever holds this cookie."""
        with self._lock:
            one = self._held.get(key)
        if one is None or one.kind != kind or not self._alive(one.session_id):
            return None
        if one.cookie is not None and not validate_xsrf_token(one.cookie, cookie):
            return None
        return one

    def sweep(self) -> None:
        """Delete what sessions shared that closed longer ago than the grace time."""
        with self._lock:
            now = time.monotonic()
            for session_id in {one.session_id for one in self._held.values()}:
                if self._alive(session_id):
                    self._seen[session_id] = now
                elif now - self._seen.get(session_id, 0.0) >= self._grace_s:
                    self._seen.pop(session_id, None)
                    self._held = {key: one for key, one in self._held.items() if one.session_id != session_id}

    def __len__(self) -> int:
        """The number of payloads."""
        with self._lock:
            return len(self._held)

    def _watch(self) -> None:
        if self._sweep_s is not None and self._sweeper is None:
            self._sweeper = threading.Thread(
                target=self._sweep_on, name="clean-up of closed sessions", daemon=True
            )
            self._sweeper.start()

    def _sweep_on(self) -> None:
        while True:
            time.sleep(self._sweep_s or SWEEP_S)
            self.sweep()


shelf = Shelf()
_serving = False


def share(session_id: str, kind: Kind, payload: Any, *, name: str | None = None) -> str:
    """Hold something for the session whose script runs now and give its id (see `Shelf.put`).

    payload: bytes of points or colours; for pictures a function of (row), for tiles of (z, x, y), that gives bytes or None. Functions
    run on a server thread, outside any script, and must not touch Streamlit.
    """
    import streamlit as st

    return shelf.put(session_id, kind, payload, name=name, cookie=st.context.cookies.get(COOKIE))


def served() -> bool:
    """Whether this server has these routes: True under `make app`, False under plain `streamlit run app.py`."""
    return _serving


def routes() -> Sequence[Route]:
    """The routes, for st.App. From now on `served` returns True."""
    global _serving
    _serving = True
    return (
        Route("/points/{id}", lambda request: _answer(request, "points", "application/octet-stream")),
        Route("/colours/{id}", lambda request: _answer(request, "colours", "application/octet-stream")),
        Route("/pictures/{id}/{row}.jpg", lambda request: _answer(request, "pictures", "image/jpeg", "row")),
        Route(
            "/tiles/{id}/{z}/{x}/{y}.png",
            lambda request: _answer(request, "tiles", "image/png", "z", "x", "y"),
        ),
        Route("/maps/{id}", lambda request: _answer(request, "maps", "text/html; charset=utf-8")),
    )


def _answer(request: Request, kind: Kind, media_type: str, *numbers: str) -> Response:
    foreign = request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    one = None if foreign else shelf.get(kind, request.path_params["id"], request.cookies.get(COOKIE))
    if one is None:
        return PlainTextResponse(GONE, 404, PRIVATE)
    asked = [request.path_params[name] for name in numbers]
    if not all(
        re.fullmatch("[0-9]{1,9}", number) for number in asked
    ):  # Starlette's own int fails on 5,000 digits
        return PlainTextResponse(GONE, 404, PRIVATE)
    try:
        content = one.payload(*map(int, asked)) if callable(one.payload) else one.payload
    except (ExplorerError, IndexError) as problem:
        return PlainTextResponse(str(problem) if isinstance(problem, ExplorerError) else GONE, 404, PRIVATE)
    return (
        PlainTextResponse(GONE, 404, PRIVATE)
        if content is None
        else Response(content, media_type=media_type, headers=AS_IS)
    )
