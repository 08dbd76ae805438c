"""The columns of an embedding table, and the metadata that travels in every file of it.

Names follow Major TOM if it has one (`unique_id`, `product_id`, `timestamp`, `centre_lat`, `geometry`,
`pixel_bbox`, `embedding`, the grid cell). The recipe columns (losses, mask, `input_res_m`, hash of the
weights) are ours, because no published layout has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .errors import TableError

Precision = Literal["float32", "float16", "int8"]

BBOX = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "unique_id": (pa.string(), "identity of the row: a hash of source, window, scale and model"),
    "product_id": (pa.string(), "the picture inside the source: file name or key"),
    "source": (pa.string(), "catalogue name or kind of the source"),
    "timestamp": (pa.timestamp("us", tz="UTC"), "acquisition time, if the source states one"),
    "grid_cell": (pa.string(), "Major TOM 10 km cell of the centre"),
    "grid_row_u": (pa.int16(), "row of that cell, north of the equator positive"),
    "grid_col_r": (pa.int16(), "column of that cell, east of Greenwich positive"),
    "centre_lat": (pa.float64(), "degrees, WGS84; null where the place is unknown"),
    "centre_lon": (pa.float64(), "degrees, WGS84; null where the place is unknown"),
    "geometry": (
        pa.binary(),
        "outline as WKB, WGS84, split at the antimeridian; null where the place is unknown",
    ),
    "bbox": (BBOX, "GeoParquet covering of the outline"),
    "crs": (pa.string(), "coordinate system of the source"),
    "pixel_bbox": (pa.list_(pa.int32(), 4), "left, top, right, bottom in source pixels at full resolution"),
    "gsd_m": (pa.float64(), "metres on the ground per pixel as fed to the network"),
    "native_gsd_m": (pa.float64(), "metres on the ground per pixel of the source"),
    "image_size": (pa.int32(), "side of the picture fed to the network, in pixels"),
    "valid_fraction": (pa.float32(), "share of the tile's pixels that hold data"),
    "input_res_m": (pa.float32(), "res that the positional encoding received"),
    "res_policy": (pa.string(), "policy that derived res from the GSD"),
    "pooling": (pa.string(), "how tokens were pooled to one vector"),
    "model": (pa.string(), "name of the network"),
    "checkpoint_sha256": (pa.string(), "hash of its weights; null if untrained"),
    "recon_loss_low": (pa.float32(), "reconstruction loss of the low band over hidden patches"),
    "recon_loss_high": (pa.float32(), "reconstruction loss of the high band over hidden patches"),
    "mask_kind": (pa.string(), "mask of the loss pass"),
    "mask_ratio": (pa.float32(), "share hidden in the loss pass"),
    "mask_seed": (pa.int64(), "seed of the mask of the loss pass"),
    "status": (pa.string(), "ok, or unreadable (no vector)"),
}
"""Every column except the vectors: type and meaning, in the order of the file."""

VECTOR = "embedding"
SCALE = "embedding_scale"


@dataclass(frozen=True)
class TableInfo:
    """How the vectors of a table were made; stored as the `emb` metadata of every file.

    `dimensions` of a vector, `data_type` on disk. int8 vectors times the file's `scale` (also the column
    `embedding_scale`) give the network's values.
    """

    model: str
    weights_sha256: str | None
    pooling: str
    dimensions: int
    data_type: Precision = "float32"
    source_data: tuple[str, ...] = ()
    licence: str = ""

    def to_metadata(self, scale: float | None = None) -> bytes:
        """Return the `emb` metadata of one file as JSON with sorted keys; `scale` only for int8."""
        emb: dict[str, Any] = {"version": "0.0.1", "type": "chip", **asdict(self)}
        if scale is not None:
            emb["quantization"] = {"method": "linear", "scale": scale, "offset": 0}
        return json.dumps(emb, sort_keys=True).encode()


def vector_type(precision: Precision, dim: int) -> pa.DataType:
    """Return the Arrow type of a column of `dim`-wide vectors."""
    scalar = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}[precision]
    return pa.list_(scalar, dim)


def vector_column(vectors: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.FixedSizeListArray:
    """Wrap (n, d) vectors as an Arrow column without a copy; rows (n,) in `missing` become null."""
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    mask = None if missing is None or not missing.any() else pa.array(missing)
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=mask)


def make_rows(
    vectors: NDArray[Any], columns: Mapping[str, Sequence[Any] | NDArray[Any] | pa.Array]
) -> pa.Table:
    """Make table rows of (n, d) vectors and the known columns; the others are null, and rows are numbered.

    A row whose vector is not finite gets a null vector. Raises TableError for an unknown column or a length
    that differs from n.
    """
    count = len(vectors)
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise TableError(
            f"An embedding table has no column {', '.join(unknown)}; its columns are {', '.join(COLUMNS)}."
        )
    given: dict[str, Any] = {
        "unique_id": [f"{i:09d}" for i in range(count)],
        "status": ["ok"] * count,
        **columns,
    }
    wrong = next((name for name, values in given.items() if len(values) != count), None)
    if wrong:
        raise TableError(
            f"The column {wrong} has {len(given[wrong]):,} values for {count:,} vectors: give one each."
        )
    arrays = [_column(given.get(name), kind, count) for name, (kind, _) in COLUMNS.items()]
    vectors = np.asarray(vectors)
    missing = None if vectors.dtype == np.int8 else np.asarray(~np.isfinite(vectors).all(axis=1))
    return pa.table([*arrays, vector_column(vectors, missing)], names=[*COLUMNS, VECTOR])


def _column(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    if isinstance(values, pa.Array):
        return values.cast(kind)
    return pa.array(values, type=kind, from_pandas=True)
