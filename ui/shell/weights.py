"""Weights files that users upload: on disk under an unguessable key, for one session, deleted with it.

The key is the model's name in that session's views and links. With the file, its network and results are
deleted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from core.errors import ExplorerError
from core.session import UPLOADED_WEIGHTS
from ui.shell.session_store import Item, SessionStore, sessions

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".pt2")
WEIGHTS = "weights"
MAX_FILES_EACH, MAX_BYTES = 4, 8 * 2**30
PREFIX, LOCK = "earth-mae-weights-", "server.lock"
NEW_S = 60.0
"""Seconds in which the folder of a server that is starting may not be locked yet."""
BLOCK_BYTES = 2**20


class WeightsUploadError(ExplorerError):
    """A weights file that cannot be stored or no longer exists."""


@dataclass(frozen=True)
class UploadedWeights:
    """An uploaded file: `title` is the user's file name, `path` where it is stored."""

    path: Path
    title: str
    size_bytes: int


class WeightsStore:
    """The uploaded weights of all sessions, by key. Thread-safe."""

    def __init__(self, store: SessionStore = sessions) -> None:
        self._store = store
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._in_use: FileLock | None = None

    def add(
        self, session_id: str, file: IO[bytes], name: str, max_bytes: int, cookie: str | None = None
    ) -> str:
        """Store a file for a session and return its key.

        Raises WeightsUploadError if the file is too large, or the session or server is full.
        """
        with self._store.lock:
            files = self._store.items(WEIGHTS)
            own = sum(item.session_id == session_id for item in files.values())
            free_bytes = MAX_BYTES - sum(item.value.size_bytes for item in files.values())
            folder = self._open_folder()
        if own >= MAX_FILES_EACH:
            raise WeightsUploadError(
                f"This session already holds {MAX_FILES_EACH} weights files, the maximum: "
                "remove one, then try again."
            )
        key = UPLOADED_WEIGHTS + secrets.token_urlsafe(16)
        path = folder / key / _file_name(name)
        path.parent.mkdir(mode=0o700)
        try:
            size_bytes = _copy(file, path, min(max_bytes, free_bytes))
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        weights = UploadedWeights(path, _title(name), size_bytes)
        self._store.put(WEIGHTS, key, Item(session_id, weights, cookie, partial(_delete, key, path)))
        return key

    def names(self, session_id: str) -> tuple[str, ...]:
        """The keys of a session's files, oldest first."""
        return tuple(self._store.items(WEIGHTS, session_id))

    def get(self, key: str) -> UploadedWeights:
        """The file under a key. Raises WeightsUploadError if there is none."""
        item = self._store.get(WEIGHTS, key)
        if item is None:
            raise WeightsUploadError(
                "These uploaded weights no longer exist: upload the file again, or choose another model."
            )
        return item.value

    def adopt(self, key: str, session_id: str, cookie: str | None) -> bool:
        """Move a file to the session of a reloaded tab: same browser, key in the URL, old session closed."""
        return self._store.adopt(WEIGHTS, key, session_id, cookie)

    def remove(self, key: str) -> None:
        """Delete a file, its network and its results. Does nothing if it is deleted already."""
        self._store.remove(WEIGHTS, key)

    def holds(self, path: Path) -> bool:
        """Whether a path is an uploaded file."""
        return any(item.value.path.resolve() == path for item in self._store.items(WEIGHTS).values())

    def _open_folder(self) -> Path:
        """The folder of the files, created on first use; removed at exit."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            self._in_use = FileLock(Path(self._folder.name) / LOCK)
            self._in_use.acquire()  # for as long as this process lives
        return Path(self._folder.name)


store = WeightsStore()
_when_removed: list[Callable[[str], None]] = []


def when_removed(call: Callable[[str], None]) -> None:
    """Register `call` to receive the key of each removed file, so that its results are deleted too."""
    _when_removed.append(call)


def remove_leftovers() -> None:
    """Delete folders of killed servers, whose lock is free, unless they are newer than `NEW_S`."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            status = folder.lstat()
            if (
                not stat.S_ISDIR(status.st_mode)
                or status.st_uid != os.getuid()
                or time.time() - status.st_mtime < NEW_S
            ):
                continue
            with FileLock(folder / LOCK).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def resolve(name: str, known: dict[str, Path]) -> str | Path:
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
    return name.startswith(UPLOADED_WEIGHTS) or isinstance(resolve(name, known), Path)


def title_of(name: str) -> str:
    """The display name of a weights file; of an upload, its original file name."""
    key, plus, positions = name.partition("+")
    if key.startswith(UPLOADED_WEIGHTS):
        with suppress(WeightsUploadError):
            return f"{store.get(key).title}{plus}{positions} (your upload)"
    return f"{name} (file)"


def _copy(file: IO[bytes], path: Path, max_bytes: int) -> int:
    size = 0
    with path.open("xb") as out:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            if size > max_bytes:
                raise WeightsUploadError(
                    f"The file is larger than the {max_bytes // 2**20} MB available: "
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


def _delete(key: str, path: Path) -> None:
    """Delete an uploaded file, its network and its results."""
    shutil.rmtree(path.parent, ignore_errors=True)
    loaded: Any = sys.modules.get("core.engine.loaded")
    if loaded is not None:
        loaded.model_cache().drop(path)
    for call in _when_removed:
        call(key)
