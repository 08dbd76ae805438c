"""Files derived from a table and stored beside it, such as projections; recomputed if missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from .mapped import FOLDER
from .table import EmbeddingTable


def derived_path(table: EmbeddingTable, kind: str, spec: str, suffix: str = "") -> Path | None:
    """Return the path of a derived file, keyed by the content of the table and by the spec.

    None if the table has no folder or the folder is not writable.
    """
    if table.folder is None or not os.access(table.folder, os.W_OK):
        return None
    key = hashlib.sha256(f"{table.fingerprint} {spec}".encode()).hexdigest()[:20]
    folder = table.folder / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder / f"{kind}-{key}{suffix}"


def store(path: Path, write: Callable[[Path], object]) -> None:
    """Write a derived file atomically; on a full disk nothing is written and no error raised."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(part)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
