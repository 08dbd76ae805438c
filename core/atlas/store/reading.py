"""Reads Parquet files of embeddings of any known layout into the columns of the schema and one array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import TableError
from ..formats import Layout, recognise
from ..schema import COLUMNS, SCALE
from .integrity import read_bounded, require_recorded
from .places import place_of
from .wkb import without_nested

pc: Any = pyarrow.compute

FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds since 1970: Python has no others."""


@dataclass(frozen=True, eq=False)
class TablePart:
    """One file (or rows in memory) with its layout; `fingerprint` changes with the content.

    `sha256` as the manifest records it, None without one; `decoded_bytes` is what its rows take in memory.
    `notes` are sentences for the user.
    """

    name: str
    layout: Layout
    rows: int
    fingerprint: str
    path: Path | None = None
    memory: pa.Table | None = None
    sha256: str | None = None
    decoded_bytes: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def of_rows(
        cls, rows: pa.Table, name: str = "rows in memory", fingerprint: str = "", notes: tuple[str, ...] = ()
    ) -> TablePart:
        """Wrap rows in memory."""
        layout = layout_of(rows.schema, name)
        return cls(name, layout, rows.num_rows, fingerprint, memory=rows, notes=notes)

    def read(self, columns: list[str]) -> pa.Table:
        """Read some columns. Raises TableError if the file is damaged."""
        if self.memory is not None:
            return self.memory.select(columns)
        assert self.path is not None
        try:
            require_recorded(self.path, self.sha256)
            return read_bounded(self.path, columns, self.path.stat().st_size)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged() from error

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Read some columns in pieces, so that a large file needs little more memory than its result."""
        if self.memory is not None:
            yield from self.memory.select(columns).to_batches()
            return
        assert self.path is not None
        try:
            require_recorded(self.path, self.sha256)
            with pq.ParquetFile(self.path) as file:
                yield from file.iter_batches(batch_size=16_384, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged() from error

    def _damaged(self) -> TableError:
        return TableError(
            f"{self.name} is damaged and cannot be read: "
            "copy it again, or resume the embedding run that wrote it."
        )


def layout_of(schema: pa.Schema, name: str) -> Layout:
    """Return the layout of a file's columns; raises TableError if it holds no vectors."""
    layout = recognise(schema)
    if layout is None:
        raise TableError(
            f"{name} holds no vectors: it needs a column named embedding, embeddings, emb or vector "
            "with a list of numbers, or at least 8 numbered columns."
        )
    return layout


def read_columns(parts: list[TablePart]) -> pa.Table:
    """Read everything but the vectors of all parts, in the columns of the schema."""
    return pa.concat_tables([_checked(part) for part in parts]).combine_chunks()


def _checked(part: TablePart) -> pa.Table:
    """Read the columns of a part; raises TableError if types or lengths are not what its footer says."""
    try:
        return _canonical(part)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise TableError(
            f"{part.name} has columns that cannot be read: it is damaged, or their content does not "
            "match their names. Create it again."
        ) from error


def _canonical(part: TablePart) -> pa.Table:
    layout = part.layout
    raw = part.read(sorted(column_names(layout)))
    if layout.geometry:
        at = raw.schema.get_field_index(layout.geometry)
        raw = raw.set_column(at, layout.geometry, without_nested(raw[layout.geometry]))
    columns: dict[str, Any] = {
        ours: _cast(raw[theirs], COLUMNS[ours][0]) for ours, theirs in layout.renamed.items()
    }
    columns |= {
        name: pa.repeat(pa.scalar(value, COLUMNS[name][0]), part.rows)
        for name, value in layout.constants.items()
    }
    columns |= {name: column for name, column in place_of(layout, raw).items() if name not in columns}
    if "unique_id" not in columns:
        stem = Path(part.name).stem
        columns["unique_id"] = pa.array([f"{stem}-{i}" for i in range(part.rows)])
    return pa.table(
        {name: columns.get(name, pa.nulls(part.rows, kind)) for name, (kind, _) in COLUMNS.items()}
    )


def column_names(layout: Layout) -> set[str]:
    """Return the columns of a file that are read beside its vectors."""
    return (
        set(layout.renamed.values())
        | {n for n in (layout.geometry, layout.bbox) if n}
        | set(layout.lonlat or ())
    )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> Any:
    try:
        found = column if column.type == kind else pc.cast(column, kind, safe=False)
        found.validate(full=True)  # text is UTF-8
    except pa.ArrowException:  # the column means something else: better none than a wrong one
        return pa.nulls(len(column), kind)
    if pa.types.is_timestamp(kind):
        number = pc.cast(found, pa.int64())
        known = pc.and_(pc.greater_equal(number, FIRST_TIME), pc.less_equal(number, LAST_TIME))
        return pc.if_else(known, found, None)
    return found


def read_vectors(
    parts: list[TablePart], *, as_stored: bool | None = None, width: int | None = None
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Read the vectors of all parts as (n, d) float32, NaN where null.

    They stay int8, with their (n,) scale, if all parts hold scaled int8 of our own layout, or as `as_stored`
    says. Raises TableError for vectors of different widths, or of another than `width`.
    """
    count = sum(part.rows for part in parts)
    if as_stored is None:
        as_stored = all(is_scaled(part) for part in parts)
    scales = np.ones(count, np.float32) if as_stored else None
    values: NDArray[Any] | None = None
    start = 0
    for part in parts:
        for piece, scale in _pieces(part):
            if width is None:
                width = int(piece.shape[1])
            if values is None:
                values = np.empty((count, width), np.int8 if as_stored else np.float32)
            if piece.shape[1] != width:
                raise TableError(
                    f"The vectors have different widths ({width} and {piece.shape[1]}): "
                    "open tables of one model at a time."
                )
            rows = slice(start, start := start + len(piece))
            if scales is not None and scale is not None:
                values[rows], scales[rows] = piece, scale
            else:
                values[rows] = piece if scale is None else piece * scale[:, None]
    if values is None:
        raise TableError("The table has 0 rows: embed something into it first, or open another table.")
    return values, scales


def is_scaled(part: TablePart) -> bool:
    """Tell whether a part holds int8 vectors with a scale, of our own layout."""
    schema = part.memory.schema if part.memory is not None else pq.read_schema(part.path)
    return SCALE in schema.names and part.layout.name == "earth-mae-explorer"


def _pieces(part: TablePart) -> Iterator[tuple[NDArray[Any], NDArray[np.float32] | None]]:
    names, scaled = list(part.layout.vectors), is_scaled(part)
    for batch in part.batches([*names, SCALE] if scaled else names):
        if not batch.num_rows:
            continue
        if len(names) > 1:
            yield (
                np.stack([batch[n].to_numpy(zero_copy_only=False).astype(np.float32) for n in names], axis=1),
                None,
            )
        else:
            scale = batch[SCALE].to_numpy().astype(np.float32) if scaled else None
            yield _matrix(batch[names[0]], part.name, integers=scaled), scale


def _matrix(column: pa.Array, name: str, *, integers: bool) -> NDArray[Any]:
    """Convert a column of vectors to (n, d); null rows and values become NaN (0 for scaled int8)."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    lengths = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
    if pa.types.is_fixed_size_list(column.type):
        lengths = [column.type.list_size]
    if len(lengths) != 1 or not lengths[0]:
        raise TableError(
            f"The vectors of {name} have different lengths ({lengths[:4]}): "
            "every row needs the same number of values."
        )
    missing = column.is_null().to_numpy(zero_copy_only=False)
    dtype = np.int8 if integers else np.float32
    matrix = np.full((len(column), lengths[0]), 0 if integers else np.nan, dtype)
    matrix[~missing] = column.flatten().to_numpy(zero_copy_only=False).astype(dtype).reshape(-1, lengths[0])
    return matrix
