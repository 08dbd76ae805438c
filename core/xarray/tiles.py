"""What happens to one block of tiles: prepare the pixels, run the network, and assemble the result."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.inputs import Fed, feed, res_of
from ..engine.loaded import load
from ..engine.prediction import reconstruct_batch
from ..engine.reconstruct import mask_on_grid, require_reconstructor
from ..engine.results import enlarge, shrink
from ..engine.tokens import patch_vectors
from ..geo import ground
from ..geo.picture import Raw
from ..geo.tile import RGB, Tile, TileRef
from ..masking import Mask, MaskSpec
from ..models.base import Encoder
from ..models.registry import ModelCard
from ..policy import Policy, policy_to_text
from .blocks import Block, Span, tiles_of
from .georeference import Georeference

BATCH = 16
LEAST_VALID = 0.5
"""Patches with a smaller share of valid pixels get no vector."""
_TURN = threading.Lock()
"""dask computes several blocks at a time, which may read side by side but share one network."""

Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Feeding:
    """How the pixels of an array become network input.

    `bands` and `value_range` belong to the three bands fed, which are the bands `rgb` of the array. `nodata`
    is the value of missing pixels beside NaN.
    """

    where: Georeference
    bands: tuple[str, str, str]
    rgb: RGB
    value_range: Ranges
    nodata: float | None
    tile_px: int
    card: ModelCard
    policy: Policy

    def fed(self, pixels: NDArray[Any], top: int, left: int) -> Fed | None:
        """Prepare the pixels (3, s, s) at a place of the array; None if none of them is valid."""
        raw = read_raw(pixels, self.nodata)
        if not raw.valid.any():
            return None
        gsd = self.gsd_at(top, left)
        tile = Tile(
            TileRef("xarray", "array"), raw.pixels, gsd, self.bands, None, raw.valid, self.value_range,
            (0, 1, 2), (gsd[0] * gsd[1]) ** 0.5,
        )  # fmt: skip
        return feed(tile, self.tile_px)

    def gsd_at(self, top: int, left: int) -> tuple[float, float]:
        """Return the size of a pixel on the ground at the centre of a tile, in metres."""
        half = self.tile_px / 2
        return ground.ground_gsd(self.where.crs, self.where.transform, left + half, top + half)

    def res(self, fed: Fed) -> float:
        """Return the res that the policy derives for a tile."""
        return res_of(self.card, self.policy, fed.tile.gsd, self.tile_px, fed.tile.gsd)

    def described(self) -> dict[str, Any]:
        """Return the recipe as attributes that netCDF and Zarr can store."""
        weights = self.card.weights
        return {
            "model": self.card.name,
            "weights_sha256": weights.sha256 if weights else "",
            "policy": policy_to_text(self.policy),
            "tile_px": self.tile_px,
            "bands": list(self.bands),
            "value_range": [value for pair in self.value_range for value in pair],
        }


@dataclass(frozen=True, eq=False)
class EmbeddingWork:
    """Embeds the patches of a block: (3, height, width) to (feature, rows, cols), NaN where without data."""

    feeding: Feeding
    model: str | Path | Encoder

    def __call__(self, pixels: NDArray[Any], block: Block) -> NDArray[np.float32]:
        """Compute one block."""
        network, side = _network(self.model), self.feeding.tile_px
        patch, width = network.patch_size, network.embed_dim
        rows, cols = block.rows, block.cols
        shape = ((rows[-1].stop - rows[0].start) // patch, (cols[-1].stop - cols[0].start) // patch)
        out = np.full((width, *shape), np.nan, np.float32)
        ready = _prepared(self.feeding, pixels, block)
        for start in range(0, len(ready), BATCH):
            some = ready[start : start + BATCH]
            images = np.stack([fed.unit for _, _, fed in some])
            res = np.array([self.feeding.res(fed) for _, _, fed in some], np.float32)
            with _TURN:
                vectors = patch_vectors(network, images, res, batch=BATCH)
            for (row, col, fed), patches in zip(some, vectors, strict=True):
                grid = side // patch
                share = fed.valid.reshape(grid, patch, grid, patch).mean(axis=(1, 3))
                patches[share < LEAST_VALID] = np.nan
                kept = patches[_inside(row, patch), _inside(col, patch)]
                out[:, _target(row, rows, patch), _target(col, cols, patch)] = np.moveaxis(kept, -1, 0)
        return out


@dataclass(frozen=True, eq=False)
class ReconstructionWork:
    """Reconstructs a block: (3, height, width) to the same shape, in the units of the array.

    `mask` is drawn on every tile; None: a fourth band of the pixels is True where they are to be replaced.
    """

    feeding: Feeding
    model: str | Path | Encoder
    mask: MaskSpec | Mask | None
    paste: bool

    def __call__(self, pixels: NDArray[Any], block: Block) -> NDArray[np.float32]:
        """Compute one block."""
        network, side = require_reconstructor(_network(self.model)), self.feeding.tile_px
        patch, rows, cols = network.patch_size, block.rows, block.cols
        grid = side // patch
        shape = (rows[-1].stop - rows[0].start, cols[-1].stop - cols[0].start)
        out = np.full((3, *shape), np.nan, np.float32)
        asked = pixels[3].astype(bool) if self.mask is None else np.zeros(pixels.shape[1:], bool)
        ready = _prepared(self.feeding, pixels[:3], block)
        for start in range(0, len(ready), BATCH):
            some = ready[start : start + BATCH]
            asked_cells = [
                asked[_window(row, block.top, side), _window(col, block.left, side)] for row, col, _ in some
            ]
            hidden = np.stack([self._cells(cells, grid, patch) for cells in asked_cells])
            seen = [not bool(cells.all()) for cells in hidden]
            if not any(seen):
                continue
            some = [each for each, there in zip(some, seen, strict=True) if there]
            asked_cells = [each for each, there in zip(asked_cells, seen, strict=True) if there]
            hidden = hidden[seen]
            images = np.stack([fed.unit for _, _, fed in some])
            with _TURN:
                predicted = reconstruct_batch(
                    network, images, hidden, [self.feeding.res(fed) for _, _, fed in some]
                ).combined
            for n, (row, col, fed) in enumerate(some):
                picture = self._in_units(shrink(predicted[n], side))
                if self.paste:
                    replaced = asked_cells[n] if self.mask is None else enlarge(hidden[n], side)
                    picture = np.where(replaced, picture, fed.tile.pixels.astype(np.float32))
                picture = np.where(fed.valid | asked_cells[n], picture, np.nan)
                out[:, _target(row, rows), _target(col, cols)] = picture[:, _inside(row), _inside(col)]
        return out

    def _cells(self, asked: NDArray[np.bool_], grid: int, patch: int) -> NDArray[np.bool_]:
        if self.mask is None:
            return asked.reshape(grid, patch, grid, patch).max(axis=(1, 3))
        return mask_on_grid(self.mask, grid)[1].hidden

    def _in_units(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        low, high = np.array(self.feeding.value_range, np.float32).T[..., None, None]
        return low + picture * (high - low)


def read_raw(pixels: NDArray[Any], nodata: float | None) -> Raw:
    """Return finite pixels (c, h, w), and which are valid in every band: neither NaN nor `nodata`."""
    valid = np.ones(pixels.shape[1:], bool)
    if np.issubdtype(pixels.dtype, np.floating):
        finite = np.isfinite(pixels)
        valid &= finite.all(axis=0)
        pixels = np.where(finite, pixels, 0)
    if nodata is not None and np.isfinite(nodata):
        valid &= ~(pixels == nodata).any(axis=0)
    return Raw(pixels, valid)


def _network(model: str | Path | Encoder) -> Encoder:
    return model if isinstance(model, Encoder) else load(model)


def _prepared(feeding: Feeding, pixels: NDArray[Any], block: Block) -> list[tuple[Span, Span, Fed]]:
    """Prepare the tiles of a block that hold data, with their spans."""
    ready: list[tuple[Span, Span, Fed]] = []
    for row, col in tiles_of(block):
        side = feeding.tile_px
        window = pixels[:, _window(row, block.top, side), _window(col, block.left, side)]
        fed = feeding.fed(window, row.origin, col.origin)
        if fed is not None:
            ready.append((row, col, fed))
    return ready


def _window(span: Span, first: int, side: int) -> slice:
    return slice(span.origin - first, span.origin - first + side)


def _inside(span: Span, cell: int = 1) -> slice:
    """Return the cells of a tile that the result keeps."""
    return slice((span.start - span.origin) // cell, (span.stop - span.origin) // cell)


def _target(span: Span, axis: tuple[Span, ...], cell: int = 1) -> slice:
    """Return their place in the result of the block."""
    return slice((span.start - axis[0].start) // cell, (span.stop - axis[0].start) // cell)
