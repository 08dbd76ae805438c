"""A quota for uploads: Streamlit limits each file; this limits the total per session and over all sessions.

Streamlit accepts files from any connected session, on every page, and keeps them in memory until the session
ends. A closed session ends only when the next browser connects, so the clean-up of `session_store` deletes
its files earlier.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime import Runtime

from ui.shell.session_store import SessionStore, sessions

MAX_FILES, MAX_BYTES = 8, 800 * 2**20
MAX_BYTES_IN_ALL = 4 * 2**30
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")


@dataclass(frozen=True)
class UploadedFiles:
    """Number and total size of uploaded files."""

    files: int
    size_bytes: int


class UploadQuota:
    """Accepts uploads while the quota allows. An upload counts as soon as its request announces its size."""

    def __init__(
        self,
        files: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None,
        store: SessionStore = sessions,
    ) -> None:
        self._files = files or _in_memory
        self._lock = threading.Lock()
        self._arriving: dict[object, tuple[str, str, int]] = {}
        store.clean_up_too(lambda: list(self._files()), _remove)

    def applies_to(self, scope: Scope) -> bool:
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
        with self._lock:
            mine, everyone = self._usage(session_id, file_id)
            if mine.files + 1 > MAX_FILES:
                return (
                    f"You already have {mine.files} uploaded files here, the maximum: "
                    "remove one, then try again."
                )
            if mine.size_bytes + size_bytes > MAX_BYTES:
                return (
                    f"Your uploads would exceed the {MAX_BYTES // 2**20} MB allowed per visitor: "
                    "remove one, then try again."
                )
            if everyone.size_bytes + size_bytes > MAX_BYTES_IN_ALL:
                return "The server's memory for uploads is full: try again in a few minutes."
            self._arriving[ticket] = (session_id, file_id, size_bytes)
            return ""

    def release(self, ticket: object) -> None:
        """Stop counting an upload in progress: it has arrived and is counted as stored, or it failed."""
        with self._lock:
            self._arriving.pop(ticket, None)

    def _usage(self, session_id: str, file_id: str) -> tuple[UploadedFiles, UploadedFiles]:
        """Usage of this session and of all, with uploads in progress. A file replaces one of the same id."""
        sizes = {
            (session, file): len(held.data)
            for session, files in list(self._files().items())
            for file, held in list(files.items())
        }
        for session, file, size_bytes in self._arriving.values():
            sizes[session, file] = sizes.get((session, file), 0) + size_bytes
        mine = [size for (session, file), size in sizes.items() if session == session_id and file != file_id]
        mine += [
            size
            for session, file, size in self._arriving.values()
            if (session, file) == (session_id, file_id)
        ]
        return UploadedFiles(len(mine), sum(mine)), UploadedFiles(len(sizes), sum(sizes.values()))


def _in_memory() -> Mapping[str, Mapping[str, Any]]:
    """Streamlit's own record of uploaded files, by session."""
    if not Runtime.exists():
        return {}
    return Runtime.instance().uploaded_file_mgr.file_storage  # pyright: ignore[reportAttributeAccessIssue]


def _remove(session_id: str) -> None:
    if Runtime.exists():
        Runtime.instance().uploaded_file_mgr.remove_session_files(session_id)
