"""Writes embedding tables: GeoParquet 1.1 shards and a manifest; the same rows give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from ...files import write_atomic
from ..errors import TableError
from ..schema import SCALE, VECTOR, Precision, TableInfo, vector_column, vector_type
from .grid import grid_cells

MANIFEST = "_manifest.json"
"""Begins with _, because pyarrow and geopandas skip such files when they read a folder as one table."""

OLD_MANIFEST = "manifest.json"
"""Its name in tables of earlier versions; read, never written."""


@dataclass(frozen=True)
class ShardRecord:
    """One file of a table: name inside the folder, rows, bytes and SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str


def write_shard(path: Path, rows: pa.Table, info: TableInfo) -> ShardRecord:
    """Write rows as one GeoParquet 1.1 file: Hilbert order, bbox covering, ZSTD, stated data type.

    `rows` as from `make_rows`, vectors float32. Equal rows and info give equal bytes with one version of the
    writer. Raises OSError if the disk is full; an older file of that name is then unchanged.
    """
    rows = _with_grid(rows.take(pa.array(hilbert_order(rows))))
    scale = _scale(rows) if info.data_type == "int8" else None
    rows = _with_vectors(rows, info, scale)
    metadata = {b"geo": json.dumps(_geo(rows), sort_keys=True).encode(), b"emb": info.to_metadata(scale)}
    sink = pa.BufferOutputStream()
    split: Any = [f"{VECTOR}.list.element"] if info.data_type == "float32" else []
    text: Any = [f.name for f in rows.schema if pa.types.is_string(f.type)]
    pq.write_table(
        rows.replace_schema_metadata(metadata), sink, compression="zstd", compression_level=3, version="2.6",
        row_group_size=16_384, use_dictionary=text, use_byte_stream_split=split, write_page_index=True,
    )  # fmt: skip
    content = sink.getvalue().to_pybytes()
    write_atomic(path, content)
    return ShardRecord(path.name, rows.num_rows, len(content), hashlib.sha256(content).hexdigest())


def write_table(
    folder: Path, rows: pa.Table, info: TableInfo, *, shard_rows: int = 65_536, notes: Sequence[str] = ()
) -> None:
    """Write rows as a folder of shards in spatial order, with a manifest that also holds `notes`.

    Raises TableError if the folder holds a table already, or without rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if has_manifest(folder):
        raise TableError(
            f"{folder.name} already holds a table: choose another folder, or delete that one first."
        )
    if not rows.num_rows:
        raise TableError("There are no rows to write: embed something first.")
    rows = rows.take(pa.array(hilbert_order(rows)))
    starts = range(0, rows.num_rows, shard_rows)
    shards = [
        write_shard(folder / shard_name(i), rows.slice(start, shard_rows), info)
        for i, start in enumerate(starts)
    ]
    write_manifest(folder, info, shards, {"complete": True, **({"notes": list(notes)} if notes else {})})


def shard_name(index: int) -> str:
    """Return the file name of a table's n-th shard."""
    return f"part-{index:05d}.parquet"


def write_manifest(folder: Path, info: TableInfo, shards: list[ShardRecord], more: Mapping[str, Any]) -> None:
    """Write the manifest atomically: recipe, every shard with its hash, and `more`; it holds no times."""
    manifest = {
        "format": "earth-mae-explorer embeddings 1",
        "emb": asdict(info),
        "shards": [asdict(s) for s in shards],
        **more,
    }
    write_atomic(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    (folder / OLD_MANIFEST).unlink(missing_ok=True)


def has_manifest(folder: Path) -> bool:
    """Tell whether a folder holds a table with a manifest."""
    return any((folder / name).is_file() for name in (MANIFEST, OLD_MANIFEST))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest; empty if there is none. Raises TableError if it is invalid."""
    try:
        old = not (folder / MANIFEST).exists()
        manifest = json.loads((folder / (OLD_MANIFEST if old else MANIFEST)).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(
            f"The manifest of {folder.name} cannot be read: "
            "restore it, or open its .parquet files one by one."
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("shards"), list):
        raise TableError(
            f"The manifest of {folder.name} does not list any shards: "
            "open its .parquet files one by one instead."
        )
    return manifest


def shard_records(folder: Path) -> list[ShardRecord]:
    """Read the shards that a folder's manifest lists; none if there is no manifest.

    Raises TableError for an invalid one.
    """
    records = read_manifest(folder).get("shards", [])
    kinds = {"file": str, "rows": int, "bytes": int, "sha256": str}
    for record in records:
        is_valid = (
            isinstance(record, dict)
            and record.keys() == kinds.keys()
            and all(isinstance(record[name], kind) for name, kind in kinds.items())
        )
        if not is_valid or Path(record["file"]).name != record["file"]:
            raise TableError(
                f"The manifest of {folder.name} describes a shard in a way "
                "that this program does not understand: "
                "restore it, open it with the version that wrote it, or embed into another folder."
            )
    return [ShardRecord(**record) for record in records]


def table_notes(folder: Path) -> tuple[str, ...]:
    """Return the notes in a folder's manifest."""
    notes = read_manifest(folder).get("notes")
    return tuple(str(note)[:400] for note in notes[:8]) if isinstance(notes, list) else ()


def hilbert_order(rows: pa.Table) -> NDArray[np.int64]:
    """Return the order of rows along a Hilbert curve over their centres; rows without a place come last."""
    lon, lat = (rows[name].to_numpy() for name in ("centre_lon", "centre_lat"))
    placed = np.isfinite(lon) & np.isfinite(lat)
    if not placed.any():
        return np.arange(len(lon))
    points = gpd.GeoSeries(gpd.points_from_xy(lon[placed], lat[placed]))
    west, south, east, north = points.total_bounds
    bounds = (west, south, max(east, west + 1e-9), max(north, south + 1e-9))
    key = np.full(len(lon), np.iinfo(np.int64).max)
    key[placed] = points.hilbert_distance(total_bounds=bounds, level=16).to_numpy()
    return np.argsort(key, kind="stable")


def _with_grid(rows: pa.Table) -> pa.Table:
    cells = grid_cells(rows["centre_lon"].to_numpy(), rows["centre_lat"].to_numpy())
    unknown = np.array([name is None for name in cells.names], bool)
    values = {
        "grid_cell": pa.array(cells.names, pa.string()),
        "grid_row_u": pa.array(cells.rows, mask=unknown),
        "grid_col_r": pa.array(cells.cols, mask=unknown),
    }
    for name, column in values.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _flat(rows: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the vectors as (n, d) float32 with zeros where null, and which rows are null."""
    column = rows[VECTOR].combine_chunks()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    values = pc.fill_null(column.values, 0.0) if column.values.null_count else column.values
    flat = values.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    flat = flat[column.offset : column.offset + len(column)].astype(np.float32)
    flat[missing] = 0
    return flat, missing


def _scale(rows: pa.Table) -> float:
    """Return the step of int8 vectors: the file's largest magnitude over 127."""
    flat, _ = _flat(rows)
    return float(np.abs(flat).max(initial=0.0) / 127) or 1.0


def quantise(vectors: NDArray[np.floating[Any]], precision: Precision, scale: float | None) -> NDArray[Any]:
    """Convert float vectors to the stored type; int8 is round(v / scale) within -127..127."""
    if precision == "int8":
        return np.clip(np.rint(vectors / (scale or 1.0)), -127, 127).astype(np.int8)
    return vectors.astype(precision)


def _with_vectors(rows: pa.Table, info: TableInfo, scale: float | None) -> pa.Table:
    flat, missing = _flat(rows)
    if flat.shape[1] != info.dimensions:
        raise TableError(
            f"The vectors have {flat.shape[1]} values but the table declares {info.dimensions}: "
            "start a new table."
        )
    column = vector_column(quantise(flat, info.data_type, scale), missing)
    at = rows.schema.get_field_index(VECTOR)
    rows = rows.set_column(at, pa.field(VECTOR, vector_type(info.data_type, info.dimensions)), column)
    return (
        rows if scale is None else rows.append_column(SCALE, pa.array(np.full(len(rows), scale, np.float32)))
    )


def _geo(rows: pa.Table) -> dict[str, Any]:
    """Return the `geo` metadata of GeoParquet 1.1; the coordinate system is its default, WGS84."""
    shapes = shapely.from_wkb(rows["geometry"].drop_null().to_numpy())
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({shape.geom_type for shape in shapes}),
        "orientation": "counterclockwise",
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if len(shapes):
        column["bbox"] = [float(v) for v in shapely.total_bounds(shapes)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
