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
"""Beyond that, decoded bytes for each byte on disk: embeddings hardly compress, so what expands further is damaged or made to fill the memory."""

ROW_BYTES = 512
"""What a row takes beside its values: columns that the file lacks, its outline, its identity."""

MEMORY_SHARE = 0.5
_WIDTH = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_DICTIONARY = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def require_recorded(path: Path, sha256: str | None) -> None:
    """Raise TableError where a file does not have the SHA-256 that its table's manifest records (None: nothing was recorded).

    A file is hashed once for each change of its size or times, so that asking again costs a look at the folder. Raises OSError where it is missing.
    """
    if sha256 is None:
        return
    state = path.stat()
    if _digest(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) != sha256:
        raise TableError(
            f"{path.name} is not the file that the manifest of {path.parent.name} records: it is damaged, or belongs to another table. "
            "Copy the table again, or resume the embedding run that wrote it."
        )


def require_all_recorded(files: Sequence[tuple[Path, str | None]]) -> None:
    """Check several files side by side; one that is missing is passed over here, for opening it says so."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(
            pool.map(
                lambda one: require_recorded(*one),
                [(path, sha256) for path, sha256 in files if path.is_file()],
            )
        )


@lru_cache(maxsize=4096)
def _digest(path: Path, inode: int, size: int, changed_ns: int, created_ns: int) -> str:  # noqa: ARG001 - they make the key
    return file_sha256(path)


def require_bounded(name: str, decoded_bytes: float, file_bytes: int) -> None:
    """Raise TableError where a file would take far more memory than its size on disk explains, or half of what this machine has."""
    require_memory(name, decoded_bytes)
    if decoded_bytes > max(ALWAYS_BYTES, EXPANSION * file_bytes):
        raise TableError(
            f"{name} would take {decoded_bytes / 2**30:,.1f} GB in memory, over {EXPANSION} times its size of {file_bytes / 2**20:,.1f} MB: "
            "embeddings do not compress that well, so the file is damaged or malicious. Create it again."
        )


def require_memory(name: str, decoded_bytes: float) -> None:
    """Raise TableError where reading would take more than half of what this machine has."""
    memory = psutil.virtual_memory().total * MEMORY_SHARE
    if decoded_bytes > memory:
        raise TableError(
            f"{name} would take {decoded_bytes / 2**30:,.1f} GB in memory, more than half of what this machine has ({memory / 2**30:,.1f} GB): "
            "split it into smaller tables, or open it on a larger machine."
        )


def decoded_bytes(metadata: pq.FileMetaData, schema: pa.Schema, wanted: Collection[str]) -> float:
    """Estimate from a footer what columns take once decoded, whatever encoding hides it: runs, dictionaries, lists of null rows.

    Text in a dictionary is counted as stored; `read_bounded` counts it in full before it is decoded.
    """
    total = float(metadata.num_rows) * ROW_BYTES
    lists = {field.name: _list_size(field.type) for field in schema if field.name in wanted}
    for at in range(metadata.num_columns):
        leaf = metadata.schema.column(at)
        root = leaf.path.split(".")[0]
        if root not in wanted and leaf.path not in wanted:
            continue
        width = (
            leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else _WIDTH.get(leaf.physical_type, 0)
        )
        chunks = [metadata.row_group(group).column(at) for group in range(metadata.num_row_groups)]
        values = float(max(metadata.num_rows * lists.get(root, 0), sum(chunk.num_values for chunk in chunks)))
        stored = float(sum(chunk.total_uncompressed_size for chunk in chunks))
        expands = any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks)
        if width:
            total += values * width
        else:  # with DELTA_BYTE_ARRAY every value may repeat the one before it
            total += stored * (values if expands else 1) + 4 * values
    return total


def read_bounded(path: Path, columns: list[str], file_bytes: int) -> pa.Table:
    """Read some columns of a parquet file; text stored as a dictionary is counted in full before it is decoded. Raises TableError."""
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    require_bounded(path.name, decoded_bytes(metadata, schema, set(columns)), file_bytes)
    packed = [name for name in columns if _is_packed_text(metadata, schema, name)]
    table = pq.read_table(path, columns=columns, read_dictionary=packed, partitioning=None)  # pyright: ignore[reportArgumentType]
    total = float(table.nbytes)
    for name in table.column_names:
        total += sum(_text_bytes(chunk) for chunk in table[name].chunks if pa.types.is_dictionary(chunk.type))
    require_bounded(path.name, total, file_bytes)
    for at, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(at, field.name, pc.cast(table[field.name], field.type.value_type))
    return table


def _is_packed_text(metadata: pq.FileMetaData, schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    text = (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
    at = next((at for at in range(metadata.num_columns) if metadata.schema.column(at).path == name), None)
    if not text or at is None:
        return False
    return any(
        _DICTIONARY & set(metadata.row_group(group).column(at).encodings)
        for group in range(metadata.num_row_groups)
    )


def _text_bytes(packed: pa.DictionaryArray) -> int:
    """Give what the values of a dictionary array take in full."""
    words = packed.dictionary
    if not (
        pa.types.is_string(words.type)
        or pa.types.is_large_string(words.type)
        or pa.types.is_binary(words.type)
    ):
        return 8 * len(packed)
    lengths = pc.cast(pc.binary_length(words), pa.int64())
    return int(pc.sum(lengths.take(packed.indices)).as_py() or 0)


def _list_size(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.list_size if pa.types.is_fixed_size_list(kind) else 0
