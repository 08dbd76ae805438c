"""Checks before a table is decoded: do its files match the manifest, and do they fit in memory?"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from ...files import file_sha256
from ..errors import TableError

pc: Any = pyarrow.compute

ALWAYS_BYTES = 512 * 2**20
"""Decoded bytes that any file may take, however small it is on disk."""

EXPANSION = 50
"""Beyond that, decoded bytes per byte on disk: embeddings hardly compress, so more is damaged or hostile."""

ROW_BYTES = 512
"""Memory of a row beside its values: columns that the file lacks, its outline, its identity."""

MEMORY_SHARE = 0.5
SMALLER = "split it into smaller tables, or open it on a larger machine"
_WIDTH = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_DICTIONARY = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def require_recorded(path: Path, sha256: str | None) -> None:
    """Raise TableError unless a file has the SHA-256 that its manifest records (None: nothing recorded).

    A file is hashed again only if its size or times change. Raises OSError if it is missing.
    """
    if sha256 is None:
        return
    state = path.stat()
    if _digest(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) != sha256:
        raise TableError(
            f"{path.name} is not the file that the manifest of {path.parent.name} records: "
            "it is damaged, or belongs to another table. "
            "Copy the table again, or resume the embedding run that wrote it."
        )


def require_all_recorded(files: Sequence[tuple[Path, str | None]]) -> None:
    """Check several files in parallel; missing ones are skipped, because opening them raises anyway."""
    present = [file for file in files if file[0].is_file()]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda file: require_recorded(*file), present))


@lru_cache(maxsize=4096)
def _digest(path: Path, inode: int, size: int, changed_ns: int, created_ns: int) -> str:
    del inode, size, changed_ns, created_ns  # part of the cache key
    return file_sha256(path)


def require_bounded(name: str, decoded_bytes: float, file_bytes: int) -> None:
    """Raise TableError if a file would take far more memory than its size explains, or too much."""
    require_memory(name, decoded_bytes)
    if decoded_bytes > max(ALWAYS_BYTES, EXPANSION * file_bytes):
        raise TableError(
            f"{name} would take {decoded_bytes / 2**30:,.1f} GB in memory, "
            f"over {EXPANSION} times its size of {file_bytes / 2**20:,.1f} MB: "
            "embeddings do not compress that well, so the file is damaged or malicious. Create it again."
        )


def require_memory(name: str, decoded_bytes: float, *, advice: str = SMALLER) -> None:
    """Raise TableError, with advice, if reading would take more than half of the machine's memory."""
    memory = psutil.virtual_memory().total * MEMORY_SHARE
    if decoded_bytes > memory:
        raise TableError(
            f"{name} would take {decoded_bytes / 2**30:,.1f} GB in memory, "
            f"more than half of what this machine has ({memory / 2**30:,.1f} GB): "
            f"{advice}."
        )


def decoded_bytes(metadata: pq.FileMetaData, schema: pa.Schema, columns: Collection[str]) -> float:
    """Estimate the decoded size of columns from a footer, whatever the encoding.

    Text in a dictionary is counted as stored; `read_bounded` counts it in full before it is decoded.
    """
    total = float(metadata.num_rows) * ROW_BYTES
    lists = {field.name: _list_size(field.type) for field in schema if field.name in columns}
    for index in range(metadata.num_columns):
        leaf = metadata.schema.column(index)
        root = leaf.path.split(".")[0]
        if root not in columns and leaf.path not in columns:
            continue
        width = (
            leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else _WIDTH.get(leaf.physical_type, 0)
        )
        chunks = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        values = float(max(metadata.num_rows * lists.get(root, 0), sum(chunk.num_values for chunk in chunks)))
        stored = float(sum(chunk.total_uncompressed_size for chunk in chunks))
        expands = any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks)
        if width:
            total += values * width
        else:  # with DELTA_BYTE_ARRAY every value may repeat the previous one
            total += stored * (values if expands else 1) + 4 * values
    return total


def read_bounded(path: Path, columns: list[str], file_bytes: int) -> pa.Table:
    """Read columns of a Parquet file; text in a dictionary is counted in full before it is decoded.

    Raises TableError if it takes too much memory.
    """
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    require_bounded(path.name, decoded_bytes(metadata, schema, set(columns)), file_bytes)
    packed = [name for name in columns if _is_packed_text(metadata, schema, name)]
    table = pq.read_table(
        path,
        columns=columns,
        read_dictionary=packed,
        partitioning=None,  # pyright: ignore[reportArgumentType]
    )
    total = float(table.nbytes)
    for name in table.column_names:
        total += sum(_text_bytes(chunk) for chunk in table[name].chunks if pa.types.is_dictionary(chunk.type))
    require_bounded(path.name, total, file_bytes)
    for at, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(at, field.name, pc.cast(table[field.name], field.type.value_type))
    return table


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _is_packed_text(metadata: pq.FileMetaData, schema: pa.Schema, name: str) -> bool:
    """Tell whether a column is text stored as a dictionary."""
    columns = (i for i in range(metadata.num_columns) if metadata.schema.column(i).path == name)
    column = next(columns, None)
    if not _is_text(schema.field(name).type) or column is None:
        return False
    groups = (metadata.row_group(group).column(column) for group in range(metadata.num_row_groups))
    return any(_DICTIONARY & set(group.encodings) for group in groups)


def _text_bytes(packed: pa.DictionaryArray) -> int:
    """Return the size of the values of a dictionary array in full."""
    if not _is_text(packed.dictionary.type):
        return 8 * len(packed)
    lengths = pc.cast(pc.binary_length(packed.dictionary), pa.int64())
    return int(pc.sum(lengths.take(packed.indices)).as_py() or 0)


def _list_size(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.list_size if pa.types.is_fixed_size_list(kind) else 0
