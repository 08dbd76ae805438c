"""Weights files that users upload: on disk under an unguessable key, for one session, deleted with it.

The key is the model's name in that session's views and links. After a tab is closed its files are kept for
`GRACE_S`, so that a lost connection or a reload in the same browser finds them again. Then file, network and
results are deleted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token

from core.errors import ExplorerError
from core.session import UPLOADED_WEIGHTS
from ui.shell.routes import connected

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
MOST_EACH, MOST_BYTES = 4, 8 * 2**30
GRACE_S, SWEEP_S = 120.0, 15.0
PREFIX, LOCK = "earth-mae-weights-", "server.lock"
SETTLED_S = 60.0
BLOCK_BYTES = 2**20


class WeightsUploadError(ExplorerError):
    """A weights file that cannot be stored or no longer exists."""


@dataclass(eq=False)
class UploadedWeights:
    """One session's file: `title` is the user's file name, `path` where it is stored."""

    session_id: str
    cookie: str | None
    path: Path
    title: str
    size_bytes: int
    seen: float


class Store:
    """The uploaded weights of all sessions, by key. Thread-safe."""

    def __init__(
        self,
        alive: Callable[[str], bool] = connected,
        *,
        grace_s: float = GRACE_S,
        sweep_s: float | None = SWEEP_S,
    ) -> None:
        self._alive, self._grace_s, self._sweep_s = alive, grace_s, sweep_s
        self._lock = threading.Lock()
        self._held: dict[str, UploadedWeights] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._in_use: FileLock | None = None

    def take_in(
        self, session_id: str, file: IO[bytes], name: str, most_bytes: int, cookie: str | None = None
    ) -> str:
        """Store a file for a session and return its key.

        Raises WeightsUploadError if the file is too large, or the session or server is full.
        """
        with self._lock:
            mine = sum(one.session_id == session_id for one in self._held.values())
            room = MOST_BYTES - sum(one.size_bytes for one in self._held.values())
            folder = self._opened()
        if mine >= MOST_EACH:
            raise WeightsUploadError(
                f"This session already holds {MOST_EACH} weights files, the most it may: "
                "remove one, then try again."
            )
        key = UPLOADED_WEIGHTS + secrets.token_urlsafe(16)
        path = folder / key / _file_name(name)
        path.parent.mkdir(mode=0o700)
        try:
            size = _copied(file, path, min(most_bytes, room))
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        with self._lock:
            self._held[key] = UploadedWeights(session_id, cookie, path, _title(name), size, time.monotonic())
        return key

    def names(self, session_id: str) -> tuple[str, ...]:
        """The keys of a session's files, oldest first."""
        with self._lock:
            return tuple(key for key, one in self._held.items() if one.session_id == session_id)

    def get(self, key: str) -> UploadedWeights:
        """The file under a key. Raises WeightsUploadError if there is none."""
        with self._lock:
            found = self._held.get(key)
        if found is None:
            raise WeightsUploadError(
                "These uploaded weights no longer exist: upload the file again, or choose another model."
            )
        return found

    def adopt(self, key: str, session_id: str, cookie: str | None) -> bool:
        """Move a file to the session of a reloaded tab: same browser, key in the URL, old session closed."""
        with self._lock:
            one = self._held.get(key)
            if (
                one is None
                or not one.cookie
                or self._alive(one.session_id)
                or not validate_xsrf_token(one.cookie, cookie)
            ):
                return False
            one.session_id, one.seen = session_id, time.monotonic()
            return True

    def remove(self, key: str) -> None:
        """Delete a file, its network and its results. Does nothing if it is deleted already."""
        with self._lock:
            one = self._held.pop(key, None)
        if one is not None:
            shutil.rmtree(one.path.parent, ignore_errors=True)
            _forget(key, one.path)

    def sweep(self) -> None:
        """Delete the files of sessions that closed longer ago than the grace time."""
        with self._lock:
            now = time.monotonic()
            for one in self._held.values():
                one.seen = now if self._alive(one.session_id) else one.seen
            gone = [key for key, one in self._held.items() if now - one.seen > self._grace_s]
        for key in gone:
            self.remove(key)

    def holds(self, path: Path) -> bool:
        """Whether a path is an uploaded file."""
        with self._lock:
            return any(one.path.resolve() == path for one in self._held.values())

    def _opened(self) -> Path:
        """The folder of the files, created on first use with the clean-up thread; removed at exit."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            self._in_use = FileLock(Path(self._folder.name) / LOCK)
            self._in_use.acquire()  # for as long as this process lives
            if self._sweep_s is not None:
                threading.Thread(
                    target=self._sweep_on,
                    args=(self._sweep_s,),
                    name="clean-up of uploaded weights",
                    daemon=True,
                ).start()
        return Path(self._folder.name)

    def _sweep_on(self, every_s: float) -> None:
        while True:
            time.sleep(every_s)
            self.sweep()


store = Store()
_when_removed: list[Callable[[str], None]] = []


def when_removed(call: Callable[[str], None]) -> None:
    """Register `call` to receive the key of each removed file, so that its results are deleted too."""
    _when_removed.append(call)


def remove_leftovers() -> None:
    """Delete folders of killed servers, whose lock is free, unless they are newer than `SETTLED_S`."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            about = folder.lstat()
            if (
                not stat.S_ISDIR(about.st_mode)
                or about.st_uid != os.getuid()
                or time.time() - about.st_mtime < SETTLED_S
            ):
                continue
            with FileLock(folder / LOCK).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def located(name: str, known: dict[str, Path]) -> str | Path:
    """Translate a model's name for `core.engine.loaded.load`: a path with position suffix, or the name."""
    bare, plus, positions = name.partition("+") if name.startswith(UPLOADED_WEIGHTS) else (name, "", "")
    if bare.startswith(UPLOADED_WEIGHTS):
        path = store.get(bare).path
        return path.with_name(path.name + plus + positions)
    for ending in ("", "+gsd", "+static"):
        file = name.removesuffix(ending) if ending else name
        if file in known and name == file + ending:
            return known[file].with_name(known[file].name + ending)
    return name


def is_file(name: str, known: dict[str, Path]) -> bool:
    """Whether a model's name refers to a weights file."""
    return name.startswith(UPLOADED_WEIGHTS) or isinstance(located(name, known), Path)


def title_of(name: str) -> str:
    """The display name of a weights file; of an upload, its original file name."""
    key, plus, positions = name.partition("+")
    if key.startswith(UPLOADED_WEIGHTS):
        with suppress(WeightsUploadError):
            return f"{store.get(key).title}{plus}{positions} (your upload)"
    return f"{name} (file)"


def _copied(file: IO[bytes], path: Path, most_bytes: int) -> int:
    size = 0
    with path.open("xb") as out:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            if size > most_bytes:
                raise WeightsUploadError(
                    f"The file is larger than the {most_bytes // 2**20} MB available: "
                    "save only its weights (without the optimizer state), "
                    "or ask the owner to start the server with the folder that contains it."
                )
            out.write(block)
    return size


def _file_name(name: str) -> str:
    """A safe file name that keeps the words and the suffix, from which the family is recognised."""
    stem, dot, suffix = _title(name).rpartition(".")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem if dot else suffix).strip("-")[:60] or "weights"
    return plain + (f".{suffix.lower()}" if f".{suffix.lower()}" in SUFFIXES else ".pth")


def _title(name: str) -> str:
    return (
        "".join(letter for letter in re.split(r"[/\\]", name)[-1] if letter.isprintable())[:80] or "weights"
    )


def _forget(key: str, path: Path) -> None:
    loaded: Any = sys.modules.get("core.engine.loaded")
    if loaded is not None:
        loaded.model_cache().drop(path)
    for call in _when_removed:
        call(key)
