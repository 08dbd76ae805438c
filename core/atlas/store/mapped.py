"""Tables larger than memory: a copy on disk that the system maps, so that only what is read takes memory.

Parquet has to be decoded before it can be read. A large table is decoded once, shard by shard, into files in
its folder `.derived`: the vectors as NumPy arrays, the columns as an Arrow file. Opening it again reads no
Parquet. A copy holds for as long as its files and those of the table are the ones seen when it was made; the
times of a file's inode cannot be set, so a copy that came with somebody's table is made again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray

from ...files import write_atomic
from .integrity import SMALLER
from .mixture import join_recipes, recipes_of
from .reading import TablePart, is_scaled, read_columns, read_vectors
from .shards import has_manifest, read_manifest, shard_records
from .vectors import StoredVectors, Unusable, check, require_usable

FOLDER = ".derived"
"""Where files made from a table are kept, inside its folder."""

MAPPED_BYTES = 2 * 2**30
"""Tables that would take more memory than this when decoded are mapped."""

ABOUT, COLUMNS, RECIPES = "about.json", "columns.arrow", "recipes.arrow"
ARRAYS = ("values", "scale", "usable", "inverse_norm")


@dataclass(frozen=True, eq=False)
class MappedTable:
    """A table that was opened from its copy; `recipes` as from `recipes_of`."""

    columns: pa.Table
    stored: StoredVectors
    recipes: pa.Table
    fingerprint: str
    notes: tuple[str, ...]


def can_map(folder: Path, needed_bytes: float) -> bool:
    """Tell whether a copy of a table may be written: a large, complete table with a manifest, and space."""
    if needed_bytes <= MAPPED_BYTES or not folder.is_dir() or not read_manifest(folder).get("complete"):
        return False
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > needed_bytes


def how_to_map(folder: Path, needed_bytes: float) -> str:
    """Advise on a table that is too large for the memory and cannot be mapped as it is."""
    if not folder.is_dir() or not has_manifest(folder):
        return SMALLER
    if not read_manifest(folder).get("complete"):
        return "finish the embedding run that writes it, which lets it be opened from disk"
    return (
        f"free {needed_bytes / 2**30:,.1f} GB of disk where it lies and let this program write there, "
        "which lets it be opened from disk"
    )


def find_mapped(folder: Path) -> MappedTable | None:
    """Open the copy of a table; None if there is none, or it is not that of the files now in the folder."""
    if not folder.is_dir() or not has_manifest(folder):
        return None
    copy = _copy_of(folder)
    if not (copy / ABOUT).is_file():
        return None
    try:
        about = json.loads((copy / ABOUT).read_text("utf-8"))
        if about["files"] != _states(folder, copy):
            return None
        columns, recipes = (_mapped_rows(copy / name) for name in (COLUMNS, RECIPES))
        arrays: dict[str, Any] = {
            name: np.asarray(np.load(copy / f"{name}.npy", mmap_mode="r"))
            for name in ARRAYS
            if (copy / f"{name}.npy").exists()
        }
        problems, notes = tuple(about["problems"]), tuple(about["notes"])
        stored = StoredVectors(
            arrays["values"], arrays.get("scale"), arrays["usable"], arrays["inverse_norm"], problems
        )
        return MappedTable(columns, stored, recipes, about["fingerprint"], notes)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def make_mapped(
    folder: Path, parts: Sequence[TablePart], fingerprint: str, notes: Sequence[str]
) -> MappedTable:
    """Write the copy of a table, with the memory of one shard, and open it; older copies are deleted.

    Raises TableError for a damaged shard and if no vector is usable, and OSError if the disk is full.
    """
    copy = _copy_of(folder)
    copy.parent.mkdir(exist_ok=True)
    with FileLock(copy.parent / ".mapped.lock"):
        found = find_mapped(folder)  # another process may have made it meanwhile
        if found is not None:
            return found
        for old in copy.parent.glob("mapped-*"):
            shutil.rmtree(old, ignore_errors=True)
        copy.mkdir()
        try:
            problems = _write(copy, [part for part in parts if part.rows])
            about = {
                "fingerprint": fingerprint, "problems": problems, "notes": list(notes),
                "files": _states(folder, copy),
            }  # fmt: skip
            write_atomic(copy / ABOUT, json.dumps(about).encode())
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        found = find_mapped(folder)
    assert found is not None
    return found


def take_rows(columns: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Take rows of a table, chunk by chunk; `pa.Table.take` would first join all chunks in memory."""
    batches = columns.to_batches()
    if len(batches) < 2:
        return columns.take(pa.array(rows))
    ends = np.cumsum([batch.num_rows for batch in batches])
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    cuts = np.searchsorted(ascending, [0, *ends])
    pieces = [
        batch.take(pa.array(ascending[first:last] - (end - batch.num_rows)))
        for batch, end, first, last in zip(batches, ends, cuts[:-1], cuts[1:], strict=True)
        if last > first
    ]
    found = pa.Table.from_batches(pieces, columns.schema).combine_chunks()
    if (order == np.arange(len(order))).all():
        return found
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return found.take(pa.array(back))


def _write(copy: Path, parts: Sequence[TablePart]) -> tuple[str, ...]:
    """Write columns, vectors and recipes; return sentences about unusable rows."""
    count, as_stored = sum(part.rows for part in parts), all(is_scaled(part) for part in parts)
    small: dict[str, list[NDArray[Any]]] = {name: [] for name in ("scale", "usable", "inverse_norm")}
    unusable: list[Unusable] = []
    recipes: list[pa.Table] = []
    width: int | None = None
    with (copy / "values.npy").open("wb") as values, _ArrowFile(copy / COLUMNS) as arrow:
        for part in parts:
            columns = read_columns([part])
            stored, wrong = check(*read_vectors([part], as_stored=as_stored, width=width), columns)
            if width is None:
                width = int(stored.values.shape[1])
                head = {"descr": stored.values.dtype.str, "fortran_order": False, "shape": (count, width)}
                np.lib.format.write_array_header_1_0(values, head)
            stored.values.tofile(values)
            arrow.write(columns)
            for name, kept in small.items():
                array = getattr(stored, name)
                kept.extend([] if array is None else [array])
            unusable.append(wrong)
            recipes.append(recipes_of(columns))
    for name, kept in small.items():
        if kept:
            np.save(copy / f"{name}.npy", np.concatenate(kept))
    with _ArrowFile(copy / RECIPES) as arrow:
        arrow.write(join_recipes(recipes))
    problems = Unusable.joined(unusable).problems(_mapped_rows(copy / COLUMNS))
    require_usable(np.concatenate(small["usable"]), problems)
    return problems


class _ArrowFile:
    """An Arrow file that takes the schema of the first rows written."""

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, None

    def __enter__(self) -> _ArrowFile:
        return self

    def write(self, rows: pa.Table) -> None:
        """Append rows as one batch."""
        if self._writer is None:
            self._writer: Any = pa.ipc.new_file(str(self._path), rows.schema)
        self._writer.write_table(rows.combine_chunks())

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _mapped_rows(path: Path) -> pa.Table:
    with path.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    rows = pa.ipc.open_file(pa.py_buffer(mapping)).read_all()
    rows.validate()
    if hasattr(mmap, "MADV_DONTNEED"):  # the check read a little of every part: it need not stay in memory
        mapping.madvise(mmap.MADV_DONTNEED)
    return rows


def _copy_of(folder: Path) -> Path:
    """Return where the copy of a table is, by what its manifest says."""
    manifest = json.dumps(read_manifest(folder), sort_keys=True)
    return folder / FOLDER / f"mapped-{hashlib.sha256(manifest.encode()).hexdigest()[:20]}"


def _states(folder: Path, copy: Path) -> dict[str, list[int]]:
    """Return size, inode and times of the shards of a table and of the files of its copy."""
    shards = [folder / record.file for record in shard_records(folder)]
    copied = [file for file in sorted(copy.iterdir()) if file.name != ABOUT]
    found = {file.name: file.stat() for file in (*shards, *copied)}
    return {name: [s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for name, s in found.items()}
