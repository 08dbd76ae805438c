"""Folders for the program's own files, and atomic writes that leave the old file if they fail."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

HOME_VARIABLE = "EARTH_MAE_HOME"


def checkout() -> Path | None:
    """Return the root of the checkout that this code runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def program_folder(name: str) -> Path:
    """Return a folder for the program's own files: in the checkout, $EARTH_MAE_HOME or the user's cache."""
    if root := checkout():
        return root / name
    if stated := os.environ.get(HOME_VARIABLE):
        return Path(stated).expanduser() / name
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library/Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "earth-mae" / name


def write_atomic(path: Path, content: bytes) -> Path:
    """Replace a file in one step: the content is written beside it, flushed to disk, then renamed.

    Raises OSError and leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def file_sha256(path: Path, *beside: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, or of several one after the other.

    Raises OSError if one cannot be read.
    """
    digest = hashlib.sha256()
    for each in (path, *beside):
        with each.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
