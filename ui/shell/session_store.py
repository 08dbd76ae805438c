"""What belongs to a browser session: uploaded pictures, uploaded weights, payloads of our HTTP routes.

An item belongs to the session that added it, and to the browser whose XSRF cookie came with it. Items of a
closed session are kept for `GRACE_S`, so that a lost connection or a reload in the same browser finds them
again. Then one clean-up thread deletes them.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from streamlit.runtime import Runtime
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token

from core.engine.allocator import return_freed_memory

GRACE_S, CLEAN_UP_S = 150.0, 15.0
"""The grace is longer than the two minutes in which Streamlit lets a session reconnect."""

IDLE_SHARE = 0.1
"""Share of one core below which the server counts as idle, so that returning memory delays nobody."""

_log = logging.getLogger(__name__)


def connected(session_id: str) -> bool:
    """Whether a session's browser tab is connected to this server now."""
    return Runtime.exists() and Runtime.instance().is_active_session(session_id)


@dataclass(eq=False)
class Item:
    """One item of a session.

    `delete` frees what it holds elsewhere, such as a file; called once, on removal.
    """

    session_id: str
    value: Any = None
    cookie: str | None = None
    delete: Callable[[], object] | None = None

    def same_browser(self, cookie: str | None) -> bool:
        """Whether a cookie is that of the browser that added the item; False if it had none."""
        return self.cookie is not None and validate_xsrf_token(self.cookie, cookie)


class SessionStore:
    """Items by kind and key. Safe to use from any thread; take `lock` to make several calls one step."""

    def __init__(
        self,
        alive: Callable[[str], bool] = connected,
        *,
        grace_s: float = GRACE_S,
        clean_up_s: float | None = CLEAN_UP_S,
    ) -> None:
        self.alive = alive
        self.lock = threading.RLock()
        self._grace_s, self._clean_up_s = grace_s, clean_up_s
        self._items: dict[tuple[str, str], Item] = {}
        self._last_seen: dict[str, float] = {}
        self._elsewhere: list[tuple[Callable[[], Iterable[str]], Callable[[str], object]]] = []
        self._thread: threading.Thread | None = None

    def put(self, kind: str, key: str, item: Item) -> None:
        """Add an item, or replace the one under this key without deleting it."""
        with self.lock:
            self._items[kind, key] = item
            self._last_seen[item.session_id] = time.monotonic()
            self._start_thread()

    def get(self, kind: str, key: str) -> Item | None:
        """The item under a key, or None."""
        with self.lock:
            return self._items.get((kind, key))

    def items(self, kind: str, session_id: str | None = None) -> dict[str, Item]:
        """The items of a kind by key, oldest first; with `session_id` only those of that session."""
        with self.lock:
            return {
                key: item
                for (of_kind, key), item in self._items.items()
                if of_kind == kind and session_id in (None, item.session_id)
            }

    def adopt(self, kind: str, key: str, session_id: str, cookie: str | None) -> bool:
        """Move an item of a closed session to another session of the same browser, as after a reload."""
        with self.lock:
            item = self._items.get((kind, key))
            if item is None or self.alive(item.session_id) or not item.same_browser(cookie):
                return False
            item.session_id = session_id
            self._last_seen[session_id] = time.monotonic()
            return True

    def remove(self, kind: str, key: str) -> None:
        """Delete an item. Does nothing if it is deleted already."""
        with self.lock:
            item = self._items.pop((kind, key), None)
        if item is not None and item.delete is not None:
            item.delete()

    def clean_up_too(self, sessions: Callable[[], Iterable[str]], delete: Callable[[str], object]) -> None:
        """Also clean up what is stored elsewhere: the ids of its sessions, and how to delete what one has."""
        with self.lock:
            self._elsewhere.append((sessions, delete))
            self._start_thread()

    def clean_up(self) -> bool:
        """Delete everything of sessions that closed longer ago than the grace time.

        Returns whether there were any.
        """
        with self.lock:
            sessions = {item.session_id for item in self._items.values()}
        for listed, _ in self._elsewhere:
            sessions |= set(listed())
        gone = {session_id for session_id in sessions if self._is_gone(session_id)}
        with self.lock:
            places = [place for place, item in self._items.items() if item.session_id in gone]
            expired = [self._items.pop(place) for place in places]
            self._last_seen = {one: seen for one, seen in self._last_seen.items() if one in sessions - gone}
        for item in expired:
            if item.delete is not None:
                item.delete()
        for _, delete in self._elsewhere:
            for session_id in gone:
                delete(session_id)
        return bool(gone)

    def _is_gone(self, session_id: str) -> bool:
        with self.lock:
            now = time.monotonic()
            if self.alive(session_id):
                self._last_seen[session_id] = now
                return False
            return now - self._last_seen.setdefault(session_id, now) >= self._grace_s

    def _start_thread(self) -> None:
        if self._clean_up_s is not None and self._thread is None:
            self._thread = threading.Thread(
                target=self._clean_up_forever,
                args=(self._clean_up_s,),
                name="clean-up of closed sessions",
                daemon=True,
            )
            self._thread.start()

    def _clean_up_forever(self, every_s: float) -> None:
        was_busy = False
        while True:
            spent = time.process_time()
            time.sleep(every_s)
            is_busy = time.process_time() - spent > IDLE_SHARE * every_s
            try:
                if self.clean_up() or (was_busy and not is_busy):
                    gc.collect()  # sources and plans hold themselves, and an idle server collects nothing
                    return_freed_memory()
            except Exception:  # one failed deletion must not end the clean-up
                _log.exception("The clean-up of closed sessions failed; it is tried again")
            was_busy = is_busy


sessions = SessionStore()
