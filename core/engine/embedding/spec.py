"""What a sweep is asked to do, as plain values, and the error that says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...atlas.schema import Precision
from ...errors import ExplorerError


class EmbeddingError(ExplorerError):
    """A sweep that cannot start, go on or finish as asked."""


MOST_GRID = 128
"""Patches a side of a tile: what a network compares with one another is the fourth power of it, and beyond this no device comes to an end."""


def require_tile(tile_px: int, patch_px: int) -> int:
    """Pass the side of a tile through; raises EmbeddingError unless it is a whole number of patches, and not too many of them."""
    if tile_px % patch_px or not 1 <= tile_px // patch_px <= MOST_GRID:
        raise EmbeddingError(
            f"A tile of {tile_px:,} px cannot be cut into patches of {patch_px} px: choose a multiple, up to {MOST_GRID * patch_px:,} px."
        )
    return tile_px


@dataclass(frozen=True)
class EmbeddingSpec:
    """Say what to embed and how. Everything here decides the table; how fast it is made does not.

    `sources` are paths, addresses, or names of the catalogue. `gsd_m` lists the GSDs to feed, none for each picture's own. `tile_px`
    None takes the card's input, `stride_px` None the tile. `policy`, `pooling` None take the card's. `losses` adds a reconstruction pass with
    a random mask of `mask_ratio` and `mask_seed`. Tiles with less than `min_valid` of their pixels known are left out. `stated_gsd_m`
    is the pixel size of pictures that do not know theirs. `batch` None leaves it to the device. `most` ends after so many tiles. `only`
    names the pictures to take where the sources hold several, none for all.
    """

    sources: tuple[str, ...]
    out: str
    model: str
    gsd_m: tuple[float, ...] = ()
    tile_px: int | None = None
    stride_px: int | None = None
    policy: str | None = None
    pooling: str | None = None
    data_type: Precision = "float32"
    losses: bool = False
    mask_ratio: float = 0.75
    mask_seed: int = 0
    min_valid: float = 0.5
    stated_gsd_m: float | None = None
    batch: int | None = None
    shard_tiles: int = 4096
    most: int | None = None
    online: bool = False
    only: tuple[str, ...] = ()


def folder_of(out: str | Path, model: str) -> Path:
    """Give the folder for one of several models embedded in the same run: a subfolder of `out` named after it."""
    return Path(out) / Path(model).stem
