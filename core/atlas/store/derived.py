"""Files derived from a table and stored beside it: projections, clusters, indexes. They are recomputed if missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from .table import EmbeddingTable

FOLDER = ".derived"


def derived_path(table: EmbeddingTable, kind: str, spec: str, suffix: str = "") -> Path | None:
    """Give where a derived file of a table belongs: keyed by the table's content and by the spec that made it.

    None where the table has no folder or that folder cannot be written.
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


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """Write a derived file atomically; on a full disk nothing is written and no error raised."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(part)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
