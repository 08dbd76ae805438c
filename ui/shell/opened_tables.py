"""Tables that users opened from files of their own: on disk, for one owner, deleted when they expire.

`JOBS/<owner>/opened/<key>/` holds the uploaded files, the table made of them, and its title.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.atlas.store.grid_rows import Bounds
from core.atlas.store.shards import has_manifest
from core.atlas.untrusted import import_table
from core.errors import ExplorerError
from core.files import write_atomic
from ui.shell import jobs

FILES, TABLE, TITLE = "files", "table", "title.json"
MAX_EACH = 12


class OpenedTableError(ExplorerError):
    """A file that cannot be opened as a table."""


@dataclass(frozen=True)
class OpenedTable:
    """A table that was made of a user's files."""

    title: str
    folder: Path

    @property
    def table(self) -> Path:
        """The folder of its shards."""
        return self.folder / TABLE


def opened_by(owner: str) -> tuple[OpenedTable, ...]:
    """Return the tables of an owner; none for an unknown key."""
    if not jobs.is_owner(owner):
        return ()
    folders = sorted((jobs.JOBS / owner / jobs.OPENED).glob(f"*/{TITLE}"))
    return tuple(
        OpenedTable(str(json.loads(file.read_text("utf-8"))["title"]), file.parent)
        for file in folders
        if has_manifest(file.parent / TABLE)
    )


def open_files(owner: str, files: Sequence[tuple[str, bytes]]) -> OpenedTable:
    """Make a table of uploaded files (name and content): one product, or the tiles of one.

    Equal files are stored once. Raises OpenedTableError if the owner has MAX_EACH tables, JobError if there
    is no room, and TableError if it is no product that this program knows.
    """
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    title = (
        Path(files[0][0]).stem if len(files) == 1 else f"{Path(files[0][0]).stem} and {len(files) - 1} more"
    )
    folder = jobs.JOBS / owner / jobs.OPENED / digest.hexdigest()[:24]

    def store() -> Path:
        for name, content in files:
            write_atomic(folder / FILES / _safe_name(name), content)
        return folder / FILES / _safe_name(files[0][0]) if len(files) == 1 else folder / FILES

    if (found := _at(owner, folder)) is not None:
        return found
    _require_room(owner, 3 * sum(len(content) for _, content in files))
    return _make(owner, title, folder, store, None)


def window_of(owner: str, product: Path, title: str, bounds: Bounds) -> OpenedTable:
    """Make a table of every pixel of a raster product in an area; raises like `open_files`."""
    key = hashlib.sha256(f"{product} {[round(side, 7) for side in bounds]}".encode()).hexdigest()[:24]
    folder = jobs.JOBS / owner / jobs.OPENED / key
    if (found := _at(owner, folder)) is not None:
        return found
    _require_room(owner, 0)
    return _make(owner, f"{title} (area)", folder, lambda: product, bounds)


def remove(opened: OpenedTable) -> None:
    """Delete a table and the files that it was made of."""
    shutil.rmtree(opened.folder, ignore_errors=True)


def product_of(table: Path) -> Path:
    """Return the uploaded file or folder that a table was made of; the table's own path for any other."""
    files = table.parent / FILES
    if table.name != TABLE or not files.is_dir():
        return table
    inside = sorted(files.iterdir())
    return inside[0] if len(inside) == 1 else files


def _at(owner: str, folder: Path) -> OpenedTable | None:
    return next((opened for opened in opened_by(owner) if opened.folder == folder), None)


def _make(
    owner: str, title: str, folder: Path, store: Callable[[], Path], bounds: Bounds | None
) -> OpenedTable:
    taken = {*jobs.tables_of(owner), *(opened.title for opened in opened_by(owner))}
    names = (title if n == 1 else f"{title} ({n})" for n in range(1, MAX_EACH + 2))
    free = next((name for name in names if name not in taken), title)
    try:
        import_table(store(), folder / TABLE, name=title[:80], bounds=bounds)
        write_atomic(folder / TITLE, json.dumps({"title": free[:80]}).encode())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    folder.parent.parent.chmod(0o700)
    return OpenedTable(free[:80], folder)


def _require_room(owner: str, size_bytes: int) -> None:
    if not jobs.is_owner(owner):
        raise OpenedTableError("The owner key in the address is not valid: open the Globe page again.")
    if len(opened_by(owner)) >= MAX_EACH:
        raise OpenedTableError(
            f"You have already opened {MAX_EACH} tables here, the maximum: close one that you no longer need."
        )
    jobs.require_room(owner, size_bytes)


def _safe_name(name: str) -> str:
    """Return a file name without folders; products are recognised by it, so words and suffix stay."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name).strip(".-")[-120:] or "table"
