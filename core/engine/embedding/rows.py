"""The columns of an embedding table beside the vectors: place, scale and recipe of every row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from ...atlas import TableInfo, make_rows
from ...atlas.store.outline import geometry_columns
from .digests import row_id
from .grids import Grid
from .outlines import rings_of_grid
from .plan import EmbeddingPlan
from .read import EMPTY, UNREADABLE
from .spec import EmbeddingSpec


@dataclass(frozen=True)
class EmbeddingRecipe:
    """How every vector of an embedding run is made."""

    spec: EmbeddingSpec
    info: TableInfo
    policy: str
    tile_px: int


def make_table(
    plan: EmbeddingPlan, recipe: EmbeddingRecipe, first: int, arrays: dict[str, NDArray[Any]]
) -> pa.Table:
    """Make the rows of consecutive windows from number `first` on; empty windows make no row.

    `arrays`: `state`, `valid` (n,) of all windows; `vectors` (k, d), `res` (k,) and, with losses, `low`,
    `high` (k,) of those that are OK.
    """
    state = arrays["state"]
    pieces: list[dict[str, Any]] = []
    start = 0
    for grid in plan.grids:
        rows = np.arange(max(first, start), min(first + len(state), start + len(grid.boxes)))
        if len(rows):
            pieces.append(_columns(grid, rows[state[rows - first] != EMPTY] - start, recipe))
        start += len(grid.boxes)
    columns = {name: _concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    in_table = state != EMPTY
    ok = state[in_table] != UNREADABLE
    vectors = np.full((len(ok), recipe.info.dimensions), np.nan, np.float32)
    vectors[ok] = arrays["vectors"]
    columns["status"] = np.where(ok, "ok", "unreadable").tolist()
    columns["valid_fraction"] = arrays["valid"][in_table]
    columns["input_res_m"] = _where(ok, arrays["res"])
    if recipe.spec.losses:
        columns["recon_loss_low"] = _where(ok, arrays["low"])
        columns["recon_loss_high"] = _where(ok, arrays["high"])
    return make_rows(vectors, columns)


def _where(ok: NDArray[np.bool_], values: NDArray[Any]) -> pa.Array:
    """Place values at the rows that are ok; the others are null."""
    full = np.zeros(len(ok), np.float32)
    full[ok] = values
    return pa.array(full, mask=~ok)


def _concatenate(pieces: list[Any]) -> pa.Array:
    arrays = [piece if isinstance(piece, pa.Array) else pa.array(piece, from_pandas=True) for piece in pieces]
    kinds = [array.type for array in arrays if not pa.types.is_null(array.type)]
    return pa.concat_arrays([array.cast(kinds[0]) if kinds else array for array in arrays])


def _columns(grid: Grid, rows: NDArray[np.int64], recipe: EmbeddingRecipe) -> dict[str, Any]:
    """Return the columns of some windows of one grid that do not depend on the network's output."""
    count, spec, info = len(rows), recipe.spec, recipe.info
    rings = rings_of_grid(grid, rows, recipe.tile_px)
    centre = np.full((count, 2), np.nan) if rings is None else rings.centre
    outlines: list[shapely.Geometry | None] = [None] * count if rings is None else rings.outlines()
    boxes: Any = pa.nulls(count, pa.list_(pa.int32(), 4))
    if grid.lonlat is None:
        upper_left = grid.boxes[rows, :2]
        corners = np.concatenate([upper_left, upper_left + grid.boxes[rows, 2:]], axis=1)
        corners = np.round(corners).astype(np.int32)
        boxes = pa.FixedSizeListArray.from_arrays(pa.array(corners.reshape(-1)), 4)
    mask = ("random", spec.mask_ratio, spec.mask_seed) if spec.losses else (None, None, None)
    constants: dict[str, tuple[Any, pa.DataType]] = {
        "product_id": (grid.product, pa.string()),
        "source": (grid.label, pa.string()),
        "crs": (_crs_name(grid), pa.string()),
        "timestamp": (acquired(grid.when), pa.timestamp("us", tz="UTC")),
        "gsd_m": (grid.gsd_m, pa.float64()),
        "native_gsd_m": (grid.native_gsd_m, pa.float64()),
        "image_size": (recipe.tile_px, pa.int32()),
        "res_policy": (recipe.policy, pa.string()),
        "pooling": (info.pooling, pa.string()),
        "model": (info.model, pa.string()),
        "checkpoint_sha256": (info.weights_sha256, pa.string()),
        "mask_kind": (mask[0], pa.string()),
        "mask_ratio": (mask[1], pa.float32()),
        "mask_seed": (mask[2], pa.int64()),
    }
    return {
        "unique_id": _row_ids(grid, rows, recipe),
        "centre_lon": centre[:, 0],
        "centre_lat": centre[:, 1],
        **geometry_columns(outlines),
        "pixel_bbox": boxes,
        **{name: pa.repeat(pa.scalar(*constant), count) for name, constant in constants.items()},
    }


def acquired(when: str) -> datetime | None:
    """Parse an acquisition time (ISO 8601, UTC unless stated otherwise); None if it is not one."""
    try:
        time = datetime.fromisoformat(when)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _row_ids(grid: Grid, rows: NDArray[np.int64], recipe: EmbeddingRecipe) -> list[str]:
    """Name rows by what made them: the same window, picture and recipe give the same name on any machine.

    Numbers are rounded, because libraries of two machines differ in the last digits.
    """
    info = recipe.info
    gsd = "unknown" if grid.gsd_m is None else f"{grid.gsd_m:.9g}"
    common = (
        grid.identity, gsd, recipe.tile_px, info.model, info.weights_sha256, info.pooling, recipe.policy,
    )  # fmt: skip
    where = grid.boxes[rows] if grid.lonlat is None else grid.lonlat[rows]
    return [row_id(*common, tuple(box)) for box in (where.round(6) + 0.0).tolist()]


def _crs_name(grid: Grid) -> str | None:
    """Return "EPSG:32612" if the coordinate system has such a name, else its whole text."""
    if grid.lonlat is not None:
        return "local Lambert azimuthal equal-area"
    return None if grid.header.crs is None else _authority_code(grid.header.crs)


@lru_cache(maxsize=64)
def _authority_code(crs: str) -> str:
    import pyproj

    code = pyproj.CRS.from_user_input(crs).to_authority(min_confidence=70)
    return ":".join(code) if code else crs
