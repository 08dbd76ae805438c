"""A user's marks, stored on disk under an unguessable key as a log, so that each mark can be undone."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute

from ...files import write_atomic
from ..errors import SearchError
from ..store.table import EmbeddingTable
from .label import Marks

pc: Any = pyarrow.compute

Label = Literal["yes", "no", "none"]
KEY = re.compile(r"[A-Za-z0-9_-]{16}")
MOST_MARKS, MOST_SHEETS = 5_000, 2_000
MOST_BYTES = 2_000_000


@dataclass(frozen=True)
class Sheet:
    """What the user looks for and each mark in order: (unique_id, "yes", "no", or "none" if removed)."""

    title: str = ""
    table: str = ""
    log: tuple[tuple[str, Label], ...] = ()

    def marked(self, unique_id: str, label: Label) -> Sheet:
        """Add a mark; the same mark again changes nothing. Raises SearchError beyond MOST_MARKS."""
        if self.now().get(unique_id, "none") == label:
            return self
        if len(self.log) >= MOST_MARKS:
            raise SearchError(f"A list holds at most {MOST_MARKS:,} marks: start a new list of marks.")
        return replace(self, log=(*self.log, (unique_id, label)))

    def undone(self) -> Sheet:
        """Remove the last mark."""
        return replace(self, log=self.log[:-1])

    def now(self) -> dict[str, Label]:
        """Return the current marks by unique_id, oldest first."""
        labels: dict[str, Label] = {}
        for unique_id, label in self.log:
            labels.pop(unique_id, None)
            if label != "none":
                labels[unique_id] = label
        return labels

    def marks(self, table: EmbeddingTable) -> tuple[Marks, int]:
        """Return the marks as rows of a table, and how many it lacks (or has without a usable vector)."""
        labels = self.now()
        ids = table.columns["unique_id"].combine_chunks()
        rows = pc.index_in(pa.array(list(labels), pa.string()), ids).to_pylist() if labels else []
        usable = {
            row: label
            for row, label in zip(rows, labels.values(), strict=True)
            if row is not None and table.stored.usable[row]
        }
        yes, no = (tuple(row for row, is_ in usable.items() if is_ == label) for label in ("yes", "no"))
        return Marks(yes, no), len(labels) - len(usable)


def new_key() -> str:
    """Return an unguessable key."""
    return secrets.token_urlsafe(12)


def save_sheet(folder: Path, key: str, sheet: Sheet) -> None:
    """Store a sheet under its key, and delete the least recently used above MOST_SHEETS.

    Raises SearchError on a full disk.
    """
    try:
        write_atomic(
            _path(folder, key),
            json.dumps({"title": sheet.title, "table": sheet.table, "log": sheet.log}).encode(),
        )
        sheets = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in sheets[MOST_SHEETS:]:
            path.unlink(missing_ok=True)
    except OSError as problem:
        raise SearchError(
            f"Your marks could not be saved ({problem.strerror}): "
            "free space on the server's disk, then mark again."
        ) from problem


def load_sheet(folder: Path, key: str) -> Sheet:
    """Read the sheet of a key. Raises SearchError for an unknown key and for a damaged file."""
    path = _path(folder, key)
    try:
        content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
        values = json.loads(content)
        log: tuple[tuple[str, Label], ...] = tuple(
            (str(unique_id), label)
            for unique_id, label in values["log"][:MOST_MARKS]
            if label in ("yes", "no", "none")
        )
        return Sheet(str(values["title"])[:80], str(values["table"])[:120], log)
    except FileNotFoundError:
        raise SearchError(
            "The marks that the link names are not stored here (any more): mark some places to start again."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SearchError(
            "The marks that the link names cannot be read: mark some places to start again."
        ) from problem


def _path(folder: Path, key: str) -> Path:
    if not KEY.fullmatch(key):
        raise SearchError(
            "The link names no list of marks: copy the whole link, or mark some places to start again."
        )
    return folder / f"{key}.json"
