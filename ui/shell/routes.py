"""The app's own HTTP routes: points, colours, maps and their tiles, and small pictures, for one session each.

An address contains only an unguessable id of something in memory; no route takes a path or a name. The id
belongs to the session that shared it. A request is answered only if

- the id exists, for this kind of payload;
- the session that owns it is connected (its browser tab is open);
- the request carries the cookie `_streamlit_xsrf` with which that session connected, so the id is useless in
  another browser. (Tabs of one browser share the cookie. A program that steals both cookie and id cannot be
  told from the owner.)
- the browser, if it sends `Sec-Fetch-Site`, says that the request comes from a page of this server.

If Streamlit's XSRF protection is off there is no cookie, and only id, session and origin are checked. Every
failure gives the same 404. Payloads are deleted with their session (`session_store`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import ExplorerError
from ui.shell.session_store import Item, SessionStore, sessions

Kind = Literal["points", "colours", "tiles", "pictures", "maps"]
COOKIE = "_streamlit_xsrf"
OWNER_COOKIE = "earth_mae_owner"
"""Cookie with the key of a browser's background jobs (`ui/shell/guard.py`)."""
PAYLOAD, MAX_PAYLOADS = "payload", 64
KEPT = 3
"""Payloads kept under one name, the newest among them: a browser asks for a layer after the page has drawn,
and by then a rerun may have replaced it."""
THREADS, MAX_AT_ONCE = "threads", 6
"""Requests of one session that are computed at a time, in threads that no other request needs. Browsers send
six at a time; the others wait without a thread."""
PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
AS_IS = {**PRIVATE, "Content-Encoding": "identity"}
"""Keeps Streamlit from compressing at every request: 0.5 s for a million points, to save a tenth of them."""
NOT_FOUND = "There is nothing at this address for you: reload the page that it came from."


@dataclass(frozen=True, eq=False)
class Payload:
    """What an id stands for: bytes, or a function of the address's numbers that returns bytes (or None)."""

    session_id: str
    kind: Kind
    name: str | None
    content: Any


class Payloads:
    """The payloads of all sessions, by id. Safe to use from any thread."""

    def __init__(self, store: SessionStore = sessions) -> None:
        self._store = store

    def put(
        self, session_id: str, kind: Kind, content: Any, *, name: str | None = None, cookie: str | None = None
    ) -> str:
        """Store a payload for a session and return its id; the same or equal content keeps its id.

        With a `name`, it replaces what the session shared under that name: only the newest three are kept.
        A session has at most 64 payloads; the oldest are deleted.
        """
        with self._store.lock:
            mine = self._store.items(PAYLOAD, session_id)
            alike = {
                key: item for key, item in mine.items() if (item.value.kind, item.value.name) == (kind, name)
            }
            for key, item in alike.items():
                one: Payload = item.value
                if one.content is content or one.content == content:
                    item.cookie = cookie or item.cookie
                    self._store.remove(PAYLOAD, key)
                    self._store.put(PAYLOAD, key, item)  # as the newest
                    return key
            replaced = list(alike)[: -(KEPT - 1)] if name is not None else []
            surplus = max(0, len(mine) - len(replaced) - MAX_PAYLOADS + 1)
            for key in [*replaced, *[key for key in mine if key not in replaced][:surplus]]:
                self._store.remove(PAYLOAD, key)
            key = secrets.token_urlsafe(16)
            self._store.put(PAYLOAD, key, Item(session_id, Payload(session_id, kind, name, content), cookie))
            return key

    def get(self, kind: Kind, key: str, cookie: str | None) -> Payload | None:
        """The payload of an id, if it is open to whoever sends this cookie."""
        item = self._store.get(PAYLOAD, key)
        if item is None or item.value.kind != kind or not self._store.alive(item.session_id):
            return None
        return item.value if item.cookie is None or item.same_browser(cookie) else None

    def threads_of(self, session_id: str) -> CapacityLimiter:
        """The threads that compute a session's requests."""
        with self._store.lock:
            item = self._store.get(THREADS, session_id)
            if item is None:
                item = Item(session_id, CapacityLimiter(MAX_AT_ONCE))
                self._store.put(THREADS, session_id, item)
            return item.value

    def __len__(self) -> int:
        """The number of payloads."""
        return len(self._store.items(PAYLOAD))


payloads = Payloads()
_serving = False
_answering: ContextVar[str | None] = ContextVar("session whose request is being answered", default=None)


def share(session_id: str, kind: Kind, content: Any, *, name: str | None = None) -> str:
    """Store a payload for the session whose script runs now and return its id (see `Payloads.put`).

    content: bytes of points or colours; for pictures a function of (row), for tiles of (z, x, y), that
    returns bytes or None. Functions run on a server thread, outside any script, and must not use Streamlit.
    """
    import streamlit as st

    return payloads.put(session_id, kind, content, name=name, cookie=st.context.cookies.get(COOKIE))


def asking_session() -> str | None:
    """The id of the session whose script or request runs in this thread; None in other threads."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context else _answering.get()


def has_routes() -> bool:
    """Whether this server has the routes: it does under `make app`, not under `streamlit run app.py`."""
    return _serving


def routes() -> Sequence[Route]:
    """The routes, for st.App. From now on `has_routes` returns True."""
    global _serving
    _serving = True
    octets, png, page = "application/octet-stream", "image/png", "text/html; charset=utf-8"
    return (
        Route("/points/{id}", partial(_answer, kind="points", media_type=octets)),
        Route("/colours/{id}", partial(_answer, kind="colours", media_type=octets)),
        Route(
            "/pictures/{id}/{row}.jpg",
            partial(_answer, kind="pictures", media_type="image/jpeg", numbers=("row",)),
        ),
        Route(
            "/tiles/{id}/{z}/{x}/{y}.png",
            partial(_answer, kind="tiles", media_type=png, numbers=("z", "x", "y")),
        ),
        Route("/maps/{id}", partial(_answer, kind="maps", media_type=page)),
    )


async def _answer(request: Request, kind: Kind, media_type: str, numbers: Sequence[str] = ()) -> Response:
    foreign = request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    key, cookie = request.path_params["id"], request.cookies.get(COOKIE)
    payload = None if foreign else payloads.get(kind, key, cookie)
    if payload is None:
        return PlainTextResponse(NOT_FOUND, 404, PRIVATE)
    arguments = [request.path_params[name] for name in numbers]
    # Starlette's own int convertor fails on 5,000 digits
    if not all(re.fullmatch("[0-9]{1,9}", number) for number in arguments):
        return PlainTextResponse(NOT_FOUND, 404, PRIVATE)
    threads = payloads.threads_of(payload.session_id)
    try:
        body = await to_thread.run_sync(_body, payload, [int(one) for one in arguments], limiter=threads)
    except (ExplorerError, IndexError) as problem:
        return PlainTextResponse(
            str(problem) if isinstance(problem, ExplorerError) else NOT_FOUND, 404, PRIVATE
        )
    return (
        PlainTextResponse(NOT_FOUND, 404, PRIVATE)
        if body is None
        else Response(body, media_type=media_type, headers=AS_IS)
    )


def _body(payload: Payload, arguments: Sequence[int]) -> bytes | None:
    """Compute what is asked for, in a thread with a context of its own."""
    _answering.set(payload.session_id)
    content: Callable[..., bytes | None] | bytes | None = payload.content
    return content(*arguments) if callable(content) else content
