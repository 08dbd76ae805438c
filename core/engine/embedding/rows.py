"""What an embedding run's table says beside the vectors: place, scale and recipe of every row, made from the plan alone."""

from __future__ import annotations

import hashlib
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
from .grids import Grid
from .outlines import rings_of
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
    """Make the rows of consecutive windows from number `first` on; windows that were left out as empty make no row.

    `arrays`: `state`, `valid` (n,) of all windows; `vectors` (k, d), `res` (k,) and, with losses, `low`, `high` (k,) of those that are OK.
    """
    state = arrays["state"]
    pieces: list[dict[str, Any]] = []
    start = 0
    for grid in plan.grids:
        rows = np.arange(max(first, start), min(first + len(state), start + len(grid.boxes)))
        if len(rows):
            kept = rows[state[rows - first] != EMPTY]
            pieces.append(_columns(grid, kept - start, recipe))
        start += len(grid.boxes)
    joined = {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}
    there = state[state != EMPTY]
    fine = there != UNREADABLE
    vectors = np.full((len(there), recipe.info.dimensions), np.nan, np.float32)
    vectors[fine] = arrays["vectors"]
    joined |= {
        "status": np.where(fine, "ok", "unreadable").tolist(),
        "valid_fraction": arrays["valid"][state != EMPTY],
        "input_res_m": _where(fine, arrays["res"]),
    }
    if recipe.spec.losses:
        joined |= {
            "recon_loss_low": _where(fine, arrays["low"]),
            "recon_loss_high": _where(fine, arrays["high"]),
        }
    return make_rows(vectors, joined)


def _where(fine: NDArray[np.bool_], values: NDArray[Any]) -> pa.Array:
    full = np.zeros(len(fine), np.float32)
    full[fine] = values
    return pa.array(full, mask=~fine)


def _joined(pieces: list[Any]) -> pa.Array:
    arrays = [piece if isinstance(piece, pa.Array) else pa.array(piece, from_pandas=True) for piece in pieces]
    kinds = [a.type for a in arrays if not pa.types.is_null(a.type)]
    return pa.concat_arrays([a.cast(kinds[0]) if kinds else a for a in arrays])


def _columns(grid: Grid, rows: NDArray[np.int64], recipe: EmbeddingRecipe) -> dict[str, Any]:
    """Give the columns of some windows of one grid, all but what the network made."""
    count, spec, info = len(rows), recipe.spec, recipe.info
    rings = rings_of(grid, rows, recipe.tile_px)
    centre = np.full((count, 2), np.nan) if rings is None else rings.centre
    outlines: list[shapely.Geometry | None] = [None] * count if rings is None else rings.outlines()
    corners = np.round(
        np.stack(
            [grid.boxes[rows, 0], grid.boxes[rows, 1], *(grid.boxes[rows, :2] + grid.boxes[rows, 2:]).T],
            axis=1,
        )
    ).astype(np.int32)
    boxes: Any = pa.nulls(count, pa.list_(pa.int32(), 4))
    if grid.lonlat is None:
        boxes = pa.FixedSizeListArray.from_arrays(pa.array(corners.reshape(-1)), 4)

    def same(value: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), count)

    said: dict[str, tuple[Any, pa.DataType]] = {
        "product_id": (grid.product, pa.string()),
        "source": (grid.label, pa.string()),
        "crs": (_short_crs(grid), pa.string()),
        "timestamp": (acquired(grid.when), pa.timestamp("us", tz="UTC")),
        "gsd_m": (grid.gsd_m, pa.float64()),
        "native_gsd_m": (grid.native_gsd_m, pa.float64()),
        "image_size": (recipe.tile_px, pa.int32()),
        "res_policy": (recipe.policy, pa.string()),
        "pooling": (info.pooling, pa.string()),
        "model": (info.model, pa.string()),
        "checkpoint_sha256": (info.weights_sha256, pa.string()),
        "mask_kind": ("random" if spec.losses else None, pa.string()),
        "mask_ratio": (spec.mask_ratio if spec.losses else None, pa.float32()),
        "mask_seed": (spec.mask_seed if spec.losses else None, pa.int64()),
    }
    return {
        "unique_id": _identities(grid, rows, recipe),
        "centre_lon": centre[:, 0],
        "centre_lat": centre[:, 1],
        **geometry_columns(outlines),
        "pixel_bbox": boxes,
        **{name: same(*value) for name, value in said.items()},
    }


def acquired(when: str) -> datetime | None:
    """Understand the time of an acquisition (ISO 8601, UTC unless it says otherwise); None where it says none."""
    try:
        found = datetime.fromisoformat(when)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _identities(grid: Grid, rows: NDArray[np.int64], recipe: EmbeddingRecipe) -> list[str]:
    """Name rows by what made them: the same window of the same picture with the same recipe has the same name anywhere, and no other has it."""
    info = recipe.info
    scale = (
        "unknown" if grid.gsd_m is None else f"{grid.gsd_m:.9g}"
    )  # rounded, as the boxes are: libraries of two machines differ in the last digits
    common = f"{grid.identity} {scale} {recipe.tile_px} {info.model} {info.weights_sha256} {info.pooling} {recipe.policy}"
    where = grid.boxes[rows] if grid.lonlat is None else grid.lonlat[rows]
    return [
        hashlib.sha256(f"{common} {tuple(box)}".encode()).hexdigest()[:20]
        for box in (where.round(6) + 0.0).tolist()
    ]


def _short_crs(grid: Grid) -> str | None:
    """Give "EPSG:32612" where the coordinate system has such a name, else its whole text."""
    if grid.lonlat is not None:
        return "local Lambert azimuthal equal-area"
    return None if grid.header.crs is None else _named(grid.header.crs)


@lru_cache(maxsize=64)
def _named(crs: str) -> str:
    import pyproj

    code = pyproj.CRS.from_user_input(crs).to_authority(min_confidence=70)
    return ":".join(code) if code else crs
