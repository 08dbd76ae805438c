"""Opens files and folders as parts of a table: footers of Parquet, pixels of rasters, rows of NumPy files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import TableError
from ..formats import ARRAYS, RASTERS, arrays, open_grids, zarr_store
from ..formats.patch_raster import ENDING
from . import grid_rows
from .grid_rows import Bounds
from .integrity import decoded_bytes, require_all_recorded, require_bounded
from .reading import TablePart, column_names, layout_of
from .shards import has_manifest, shard_records, table_notes

PARQUET = (".parquet", ".geoparquet", ".gpq", ".pq")


def open_parts(path: Path, bounds: Bounds | None = None) -> list[TablePart]:
    """Open the footers of a file, or of a folder: the shards in its manifest, else all Parquet files.

    Rasters, Zarr stores and NumPy files are read at once: a single one, or all those of a folder without
    Parquet files. `bounds` (west, south, east, north in degrees) limits the pixels that are read of rasters.
    Raises TableError if there is nothing to open.
    """
    if not path.exists():
        raise TableError(
            f"There is no table at {path.name}: check the path, or write one with `python -m core embed`."
        )
    if path.is_file():
        return _open_file(path, None) if path.suffix.lower() in PARQUET else _open_arrays([path], bounds)
    if zarr_store.is_store(path):
        return _open_arrays([path], bounds)
    if has_manifest(path):
        shards = [(path / shard.file, shard.sha256) for shard in shard_records(path)]
        require_all_recorded(shards)
        parts = [part for file, sha256 in shards for part in _open_file(file, sha256)]
        return [replace(part, notes=part.notes + table_notes(path)) for part in parts]
    visible = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    files = [file for file in visible if file.suffix.lower() in PARQUET]
    if files:
        return [part for file in files for part in _open_file(file, None)]
    found = [file for file in visible if file.name.endswith(ENDING)] or [f for f in visible if is_product(f)]
    if not found:
        raise _nothing_in(path, [each for each in visible if each.is_dir() and has_manifest(each)])
    return _open_arrays(found, bounds)


def is_product(path: Path) -> bool:
    """Tell whether a file or folder is an embedding product that is not Parquet; only its header is read."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(".zip"):
        return zarr_store.is_store(path)
    if name.endswith((*RASTERS, ".npy")) and not name.endswith("_scales.npy"):
        try:
            return bool(open_grids(path))
        except TableError:
            return False
    return name.endswith(".npz")


def _nothing_in(path: Path, folders: Sequence[Path]) -> TableError:
    if folders:
        tables = [f"{path.name}/{folder.name}" for folder in folders]
        return TableError(
            f"The folder {path.name} holds {len(tables)} tables, one for each model: "
            f"open one of {', '.join(tables[:8])}."
        )
    return TableError(
        f"The folder {path.name} holds no .parquet file and no other embedding product: "
        "choose a folder that `python -m core embed` wrote."
    )


def _open_file(path: Path, sha256: str | None) -> list[TablePart]:
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        key, size = _key(path, sha256), path.stat().st_size
        layout = layout_of(schema, path.name)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        why = "is missing" if not path.exists() else "is not a whole parquet file"
        raise TableError(
            f"{path.name} {why}: copy it again, or resume the embedding run that wrote it."
        ) from error
    needed = decoded_bytes(metadata, schema, {*layout.vectors, *column_names(layout)})
    require_bounded(path.name, needed, size)
    notes = tuple(f"{path.name}: {note}" for note in layout.notes)
    return [
        TablePart(
            path.name,
            layout,
            metadata.num_rows,
            key,
            path=path,
            sha256=sha256,
            decoded_bytes=needed,
            notes=notes,
        )
    ]


def _open_arrays(paths: Sequence[Path], bounds: Bounds | None) -> list[TablePart]:
    """Read rasters, Zarr stores and NumPy files; the pixels of all rasters are thinned alike."""
    grids = [(path, grid) for path in paths for grid in open_grids(path)]
    others = [path for path in paths if path not in {path for path, _ in grids}]
    parts = [_open_rows(path) for path in others]
    if not grids:
        return parts
    windows = grid_rows.windows([grid for _, grid in grids], bounds)
    notes = grid_rows.notes_of(windows)
    where = {id(grid): path for path, grid in grids}
    empty: TableError | None = None
    for window in windows:
        path = where[id(window.grid)]
        try:
            rows = grid_rows.rows_of(window, path)
        except grid_rows.NoVectorError as error:
            empty = error
            continue
        key = f"{_key(path, None)} {window.grid.name} {window.rows} {window.cols}"
        name = window.grid.name if len(windows) > 1 else path.name
        parts.append(TablePart.of_rows(rows, name, hashlib.sha256(key.encode()).hexdigest(), notes))
        notes = ()
    if empty is not None and not parts:
        raise empty
    return parts


def _open_rows(path: Path) -> TablePart:
    if path.suffix.lower() not in ARRAYS:
        raise TableError(
            f"{path.name} does not hold patch embeddings or another product that this program knows: "
            f"to make a table of a picture, use `python -m core embed {path.name} --out table`."
        )
    return TablePart.of_rows(arrays.open_rows(path, require_bounded), path.name, _key(path, None))


def _key(path: Path, sha256: str | None) -> str:
    """Return a fingerprint of a file: of its known hash, else of its name, size and time."""
    status = path.stat()
    return hashlib.sha256(f"{sha256 or (path.name, status.st_size, status.st_mtime_ns)}".encode()).hexdigest()
