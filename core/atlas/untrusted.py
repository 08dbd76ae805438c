"""Embedding products of strangers: read in a child process, and written as a table of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from ..untrusted import Limits, call
from .errors import TableError
from .schema import COLUMNS, VECTOR, TableInfo, vector_type
from .store.grid_rows import Bounds
from .store.shards import write_table
from .store.table import open_table

LIMITS = Limits(cpu_s=120.0, wall_s=180.0, memory_mb=3072, answer_mb=1024)
IMPORTED_FIRST = ("rasterio", "pyproj", "shapely", "geopandas", "pyarrow.parquet")
"""What a child process imports before its memory is limited."""


def import_table(path: Path, folder: Path, *, name: str, bounds: Bounds | None = None) -> None:
    """Read a file or folder, in full or within `bounds`, and write its rows as a table into `folder`.

    Raises TableError if it is no known product, is damaged, or takes more time or memory than LIMITS.
    """
    content, notes, dim = call(
        read_rows,
        str(path.absolute()),
        list(bounds) if bounds else None,
        name=name,
        error=TableError,
        limits=LIMITS,
    )
    try:
        with pa.ipc.open_stream(content) as stream:
            rows = stream.read_all()
        rows.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{name} cannot be read: it is damaged. Copy it again.") from error
    if not rows.schema.equals(_schema(dim)):
        raise TableError(f"{name} cannot be read: its columns are not what they seem. Create it again.")
    models = set(rows["model"].to_pylist())
    info = TableInfo(str(models.pop()) if len(models) == 1 else "several models", None, "", dim)
    write_table(folder, rows, info, notes=[str(note) for note in notes])


def read_rows(path: str, bounds: list[float] | None) -> tuple[bytes, list[str], int]:
    """Open a product and return its rows as an Arrow stream, its notes and the width of its vectors.

    For the child process.
    """
    west_to_north: Any = tuple(bounds) if bounds else None
    table = open_table(path, bounds=west_to_north)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(table.vectors.reshape(-1)), table.dim)
    rows = table.columns.append_column(VECTOR, vectors).cast(_schema(table.dim)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes(), [*table.notes, *table.stored.problems], table.dim


def _schema(dim: int) -> pa.Schema:
    """Return the schema of `make_rows` for vectors of float32."""
    return pa.schema(
        [*((name, kind) for name, (kind, _) in COLUMNS.items()), (VECTOR, vector_type("float32", dim))]
    )
