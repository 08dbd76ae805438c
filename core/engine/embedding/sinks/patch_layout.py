"""The layout of a raster of patch embeddings: its spec, its grid of patches, the tiles that cover it, and the recipe kept in the file."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....geo.picture import Known, native_gsd
from ....geo.sources import Source
from ....geo.tile import require_gsd
from ....models.base import Encoder
from ....policy import Policy, policy_from_text, policy_to_text
from ...inputs import res_of
from ...loaded import load
from ..count import MOST_TILES
from ..grids import Grid
from ..plan import EmbeddingPlan
from ..sources import content_of
from ..spec import EmbeddingError, require_tile

BATCH = 16
SCRATCH = ".patches-"
"""Prefix of the folders that hold unfinished rasters. A later run resumes what is in one; it can also be deleted."""
Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class PatchRasterSpec:
    """How a picture becomes a raster of patch embeddings.

    `gsd_m` is as fed (None: the GSD of the picture). None takes the model card's value for `tile_px` and `policy`, half
    a tile for `stride_px` (a whole number of patches), and 16 tiles for `batch`, which affects only the speed. int8
    stores unit vectors times 127, float32 the values of the network. `stated_gsd_m` is as in EmbeddingSpec.
    """

    model: str
    gsd_m: float | None = None
    tile_px: int | None = None
    stride_px: int | None = None
    policy: str | None = None
    data_type: Precision = "float32"
    min_valid: float = 0.5
    stated_gsd_m: float | None = None
    batch: int | None = None


@dataclass(frozen=True, eq=False)
class PatchLayout:
    """Tiles on the grid of patches.

    `corners` (n, 2) are row and column of the first patch of each tile; `step` is the size of a fed pixel in source
    pixels (across, down).
    """

    plan: EmbeddingPlan
    corners: NDArray[np.int64]
    rows: int
    cols: int
    side: int
    tile_px: int
    stride_px: int
    patch_px: int
    step: tuple[float, float]


@dataclass(frozen=True)
class RasterOutline:
    """Outline of a raster before any tile is embedded: the `recipe` stored in the file, its size in patches, its tiles."""

    recipe: dict[str, Any]
    rows: int
    cols: int
    tiles: int
    data_type: Precision


def plan_raster(source: Source, key: str, spec: PatchRasterSpec, stamp: str | None = None) -> RasterOutline:
    """Describe what `embed_patches` would write for a picture; raises the same errors. `stamp` identifies its content."""
    model = load(spec.model)
    return describe_raster(lay_out(source, key, spec, model), source, key, spec, model, stamp)


def describe_raster(
    lay: PatchLayout, source: Source, key: str, spec: PatchRasterSpec, model: Encoder, stamp: str | None
) -> RasterOutline:
    card, grid = model.card, lay.plan.grids[0]
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    res = res_of(card, policy, grid.gsd_m or 1.0, lay.tile_px, grid.native_gsd_m or 1.0)
    recipe = {
        "model": card.name, "weights_sha256": card.weights.sha256 if card.weights else None, "policy": policy_to_text(policy),
        "gsd_m": grid.gsd_m, "input_res_m": res, "tile_px": lay.tile_px, "stride_px": lay.stride_px, "patch_px": lay.patch_px,
        "min_valid": spec.min_valid, "blend": "hann", "source": key, "source_stamp": stamp, "credit": source.info.credit, "licence": card.licence,
    }  # fmt: skip
    return RasterOutline(recipe, lay.rows, lay.cols, len(lay.corners), spec.data_type)


def scratch_of(source: Source, key: str, spec: PatchRasterSpec, out: Path, stamp: str | None = None) -> Path:
    """Give the scratch folder for a raster; it depends on recipe and content, so only matching work is resumed."""
    meant = plan_raster(source, key, spec, stamp)
    said = [
        out.name,
        meant.recipe,
        meant.rows,
        meant.cols,
        meant.data_type,
        spec.batch or BATCH,
        content_of(source.opened(key)),
    ]
    return (
        out.parent / f"{SCRATCH}{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]}"
    )


def lay_out(source: Source, key: str, spec: PatchRasterSpec, model: Encoder) -> PatchLayout:
    require_gsd(spec.gsd_m)
    require_gsd(spec.stated_gsd_m)
    picture, entry, patch_px = source.opened(key), source.entry(key), model.card.patch_px
    header = picture.header
    tile_px = require_tile(model.card.input_px if spec.tile_px is None else spec.tile_px, patch_px)
    stride_px = max(tile_px // 2 // patch_px, 1) * patch_px if spec.stride_px is None else spec.stride_px
    if stride_px % patch_px or not 0 < stride_px <= tile_px:
        raise EmbeddingError(
            f"A tile of {tile_px} px every {stride_px} px leaves gaps or cuts patches of {patch_px} px: choose a stride that is a multiple of {patch_px}, at most the tile."
        )
    native = native_gsd(header, Known(spec.stated_gsd_m or entry.gsd_m))
    scalar = None if native is None else math.sqrt(native[0] * native[1])
    fed = spec.gsd_m or scalar
    step = (1.0, 1.0) if native is None or fed is None else (fed / native[0], fed / native[1])
    step = (1.0 if abs(step[0] - 1) < 1e-6 else step[0], 1.0 if abs(step[1] - 1) < 1e-6 else step[1])
    cols, rows = (
        int(size / one / patch_px + 1e-6)
        for size, one in zip((header.width, header.height), step, strict=True)
    )
    side, hop = tile_px // patch_px, stride_px // patch_px
    if cols < side or rows < side:
        raise EmbeddingError(
            f"{key} is smaller than one tile of {tile_px} px at this scale: choose a smaller tile or a finer GSD."
        )
    if (many := rows / hop * cols / hop) > MOST_TILES:
        raise EmbeddingError(
            f"{key} would make {many:,.0f} tiles at this scale, more than {MOST_TILES:,}: feed coarser pixels (--gsd-m), or cut the picture."
        )
    starts = [sorted({*range(0, length - side + 1, hop), length - side}) for length in (rows, cols)]
    corners = np.array([(row, col) for row in starts[0] for col in starts[1]], np.int64)
    boxes = np.empty((len(corners), 4))
    boxes[:, 0], boxes[:, 1] = corners[:, 1] * patch_px * step[0], corners[:, 0] * patch_px * step[1]
    boxes[:, 2], boxes[:, 3] = tile_px * step[0], tile_px * step[1]
    enough = [
        i
        for i, (w, h) in enumerate(header.levels)
        if i == 0 or max(header.width / w, header.height / h) <= min(step) * (1 + 1e-9)
    ]
    level = min(enough, key=lambda i: header.levels[i][0])
    grid = Grid(source, key, header, entry.rgb or header.rgb, boxes, level, fed, scalar)
    return PatchLayout(
        EmbeddingPlan((grid,), 0, ()), corners, rows, cols, side, tile_px, stride_px, patch_px, step
    )
