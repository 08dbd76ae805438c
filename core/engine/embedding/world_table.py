"""The world table that the Globe opens with: Blue Marble at several scales, embedded once."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

from ..loaded import load
from .folder import LOCK, LOG
from .run import EmbeddingProgress, embed_sources
from .spec import EmbeddingError, EmbeddingSpec

GSDS_M = (7_400.0, 15_000.0, 30_000.0)
"""Blue Marble's own GSD, and two and four times as coarse."""

STRIDE_PX = 22
"""Spacing of the places in pixels of each scale, about 25,000 places in all. Tiles are wider and overlap."""

MAX_BYTES = 15_000_000
SHARD_TILES = 65_536


def build_world_table(
    out: Path,
    model: str,
    *,
    tile_px: int | None = None,
    stride_px: int | None = None,
    gsd_m: tuple[float, ...] = GSDS_M,
    most: int | None = None,
) -> Generator[EmbeddingProgress]:
    """Embed the globe into a folder that can be shipped: int8 vectors, and only table, plan and manifest.

    Resumes an unfinished folder. `most` limits the places, which are then spread over the whole plan. Raises
    EmbeddingError if the table is too large to ship.
    """
    spec = EmbeddingSpec(
        ("globe",), str(out), model, gsd_m=gsd_m, tile_px=tile_px or load(model).card.input_px,
        stride_px=stride_px or STRIDE_PX, data_type="int8", shard_tiles=SHARD_TILES, most=most,
    )  # fmt: skip
    yield from embed_sources(spec, resume=True)
    for name in (LOCK, LOG):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / ".derived", ignore_errors=True)
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file())
    if size > MAX_BYTES:
        raise EmbeddingError(
            f"The table takes {size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB "
            "that may be shipped: build it with a larger stride."
        )
