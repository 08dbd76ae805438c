"""A quota for uploads: Streamlit limits each file; this limits the total per session and over all sessions.

Streamlit accepts files from any connected session, on every page, and keeps them in memory until the session
ends. A closed session ends only when the next browser connects, so a thread deletes its files earlier.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime import Runtime

from ui.shell.routes import connected

MOST_FILES, MOST_BYTES = 8, 800 * 2**20
MOST_BYTES_IN_ALL = 4 * 2**30
GRACE_S, SWEEP_S = 150.0, 15.0
"""Longer than the two minutes in which Streamlit lets a session reconnect, so that its files remain."""
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")


@dataclass(frozen=True)
class Held:
    """Number and total size of uploaded files."""

    files: int
    size_bytes: int


class UploadQuota:
    """Accepts uploads while the quota allows. An upload counts as soon as its request announces its size."""

    def __init__(
        self,
        files: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None,
        *,
        alive: Callable[[str], bool] = connected,
        grace_s: float = GRACE_S,
        sweep_s: float | None = SWEEP_S,
    ) -> None:
        self._files, self._alive, self._grace_s, self._sweep_s = files or _in_memory, alive, grace_s, sweep_s
        self._lock = threading.Lock()
        self._coming: dict[object, tuple[str, str, int]] = {}
        self._seen: dict[str, float] = {}
        self._sweeper: threading.Thread | None = None

    def concerns(self, scope: Scope) -> bool:
        """Whether a request is a file upload."""
        return (
            scope["type"] == "http" and scope["method"] == "PUT" and _UPLOAD.search(scope["path"]) is not None
        )

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward an upload, or refuse it with a sentence."""
        match = _UPLOAD.search(scope["path"])
        length = Headers(scope=scope).get("content-length", "")
        if match is None or not (length.isascii() and length.isdecimal() and len(length) < 16):
            await PlainTextResponse("The upload needs a Content-Length header.", 411)(scope, receive, send)
            return
        ticket = object()
        problem = self.reserve(ticket, match[1], match[2], int(length))
        if problem:
            await PlainTextResponse(problem, 413, {"Connection": "close"})(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        finally:
            self.release(ticket)

    def reserve(self, ticket: object, session_id: str, file_id: str, size_bytes: int) -> str:
        """Count an upload in progress until `release`. Returns a sentence if it is too much, else ""."""
        self._watch()
        with self._lock:
            mine, everyone = self._held(session_id, file_id)
            if mine.files + 1 > MOST_FILES:
                return (
                    f"You already have {mine.files} uploaded files here, the most allowed: "
                    "remove one, then try again."
                )
            if mine.size_bytes + size_bytes > MOST_BYTES:
                return (
                    f"Your uploads would exceed the {MOST_BYTES // 2**20} MB allowed per visitor: "
                    "remove one, then try again."
                )
            if everyone.size_bytes + size_bytes > MOST_BYTES_IN_ALL:
                return "The server's memory for uploads is full: try again in a few minutes."
            self._coming[ticket] = (session_id, file_id, size_bytes)
            return ""

    def release(self, ticket: object) -> None:
        """Stop counting an upload in progress: it has arrived and is counted as stored, or it failed."""
        with self._lock:
            self._coming.pop(ticket, None)

    def sweep(self) -> None:
        """Delete the files of sessions that closed longer ago than the grace time."""
        now = time.monotonic()
        for session_id in list(self._files()):
            if self._alive(session_id):
                self._seen[session_id] = now
            elif now - self._seen.setdefault(session_id, now) >= self._grace_s:
                self._seen.pop(session_id, None)
                _remove(session_id)
        self._seen = {one: seen for one, seen in self._seen.items() if one in self._files()}

    def _held(self, session_id: str, file_id: str) -> tuple[Held, Held]:
        """Usage of this session and of all, with uploads in progress. A file replaces one of the same id."""
        sizes = {
            (session, file): len(held.data)
            for session, files in list(self._files().items())
            for file, held in list(files.items())
        }
        for session, file, size_bytes in self._coming.values():
            sizes[session, file] = sizes.get((session, file), 0) + size_bytes
        mine = [size for (session, file), size in sizes.items() if session == session_id and file != file_id]
        mine += [
            size for session, file, size in self._coming.values() if (session, file) == (session_id, file_id)
        ]
        return Held(len(mine), sum(mine)), Held(len(sizes), sum(sizes.values()))

    def _watch(self) -> None:
        if self._sweep_s is not None and self._sweeper is None:
            self._sweeper = threading.Thread(target=self._sweep_on, name="clean-up of uploads", daemon=True)
            self._sweeper.start()

    def _sweep_on(self) -> None:
        while True:
            time.sleep(self._sweep_s or SWEEP_S)
            with suppress(RuntimeError):  # a file that arrives meanwhile; the next round sees it
                self.sweep()


def _in_memory() -> Mapping[str, Mapping[str, Any]]:
    """Streamlit's own record of uploaded files, by session."""
    if not Runtime.exists():
        return {}
    return Runtime.instance().uploaded_file_mgr.file_storage  # pyright: ignore[reportAttributeAccessIssue]


def _remove(session_id: str) -> None:
    if Runtime.exists():
        Runtime.instance().uploaded_file_mgr.remove_session_files(session_id)
