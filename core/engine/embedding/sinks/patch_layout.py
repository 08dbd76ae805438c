"""The layout of a patch raster: its grid of patches, the tiles that cover it, and its recipe."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....geo.picture import Known, native_gsd
from ....geo.sources import Source
from ....geo.tile import require_gsd
from ....models.base import Encoder
from ....policy import Policy, policy_from_text, policy_to_text
from ...inputs import res_of
from ..count import MOST_TILES
from ..digests import content_digest
from ..grids import Grid
from ..plan import EmbeddingPlan
from ..spec import EmbeddingError, EmbeddingSpec, require_tile
from ..windows import source_step

BATCH = 16
SCRATCH = ".patches-"
"""Prefix of the folders that hold unfinished rasters.

A later run resumes what is in one; it can also be deleted.
"""


@dataclass(frozen=True, eq=False)
class PatchLayout:
    """Tiles on a grid of `rows` x `cols` patches, as a plan with a single grid.

    `corners` (n, 2) are row and column of the first patch of each tile, `side` the patches along a tile;
    `patch_step` is the size of a patch in source pixels (across, down). `recipe` is stored in the file.
    """

    plan: EmbeddingPlan
    corners: NDArray[np.int64]
    rows: int
    cols: int
    side: int
    tile_px: int
    patch_step: tuple[float, float]
    recipe: dict[str, Any]


def lay_out(source: Source, key: str, spec: EmbeddingSpec, model: Encoder) -> PatchLayout:
    """Lay tiles over a picture so that they share one grid of patches.

    The stride is half a tile unless the spec states it. Raises EmbeddingError for an invalid tile or stride
    and a picture that is too small or too large, and GeoError if it cannot be opened.
    """
    for gsd in (*spec.gsd_m, spec.stated_gsd_m):
        require_gsd(gsd)
    picture, entry, patch_px = source.opened(key), source.entry(key), model.card.patch_px
    header = picture.header
    tile_px = require_tile(model.card.input_px if spec.tile_px is None else spec.tile_px, patch_px)
    stride_px = max(tile_px // 2 // patch_px, 1) * patch_px if spec.stride_px is None else spec.stride_px
    if stride_px % patch_px or not 0 < stride_px <= tile_px:
        raise EmbeddingError(
            f"A tile of {tile_px} px every {stride_px} px leaves gaps or cuts patches of {patch_px} px: "
            f"choose a stride that is a multiple of {patch_px}, at most the tile."
        )
    native = native_gsd(header, Known(spec.stated_gsd_m or entry.gsd_m))
    native_m = None if native is None else math.sqrt(native[0] * native[1])
    gsd_m = spec.gsd_m[0] if spec.gsd_m else native_m
    step = (1.0, 1.0)
    if native is not None and gsd_m is not None:
        step = (source_step(gsd_m, native[0]), source_step(gsd_m, native[1]))
    cols, rows = (
        int(size / each / patch_px + 1e-6)
        for size, each in zip((header.width, header.height), step, strict=True)
    )
    side, hop = tile_px // patch_px, stride_px // patch_px
    if cols < side or rows < side:
        raise EmbeddingError(
            f"{key} is smaller than one tile of {tile_px} px at this scale: "
            "choose a smaller tile or a finer GSD."
        )
    if (count := rows / hop * cols / hop) > MOST_TILES:
        raise EmbeddingError(
            f"{key} would make {count:,.0f} tiles at this scale, more than {MOST_TILES:,}: "
            "feed coarser pixels (--gsd-m), or cut the picture."
        )
    tops, lefts = (sorted({*range(0, end - side + 1, hop), end - side}) for end in (rows, cols))
    corners = np.array([(row, col) for row in tops for col in lefts], np.int64)
    boxes = np.empty((len(corners), 4))
    boxes[:, 0], boxes[:, 1] = corners[:, 1] * patch_px * step[0], corners[:, 0] * patch_px * step[1]
    boxes[:, 2], boxes[:, 3] = tile_px * step[0], tile_px * step[1]
    level = header.level_for(min(step))
    grid = Grid(source, key, header, entry.rgb or header.rgb, boxes, level, gsd_m, native_m)
    card = model.card
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    recipe = {
        "model": card.name, "weights_sha256": card.weights.sha256 if card.weights else None,
        "policy": policy_to_text(policy), "gsd_m": gsd_m,
        "input_res_m": res_of(card, policy, gsd_m or 1.0, tile_px, native_m or 1.0),
        "tile_px": tile_px, "stride_px": stride_px, "patch_px": patch_px, "min_valid": spec.min_valid,
        "blend": "hann", "source": key, "content_sha256": content_digest(picture),
        "credit": source.info.credit, "licence": card.licence,
    }  # fmt: skip
    patch_step = (step[0] * patch_px, step[1] * patch_px)
    return PatchLayout(EmbeddingPlan((grid,), 0, ()), corners, rows, cols, side, tile_px, patch_step, recipe)


def scratch_of(layout: PatchLayout, spec: EmbeddingSpec, out: Path) -> Path:
    """Return the folder for unfinished work, which depends on the recipe and the content of the picture."""
    same = [out.name, layout.recipe, layout.rows, layout.cols, spec.data_type, spec.batch or BATCH]
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
    return out.parent / f"{SCRATCH}{digest[:16]}"
