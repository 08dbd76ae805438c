"""Reading what an embedding run embeds: rows of windows decoded at once, cut and resampled into tiles, put together into batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geo.picture import Picture, Raw
from ...geo.resample import Cut, resize
from ...geo.sources.raster import GeoTiff
from ...geo.stretch import EIGHT_BIT, to_unit
from ...geo.tile import GeoError, TileRef, TileSpec
from .grids import Grid
from .plan import EmbeddingPlan

OK, UNREADABLE, EMPTY = 0, 1, 2
"""What became of a window: embedded; marked in the table, without a vector; left out of the table."""

MARGIN_PX = 3

Images = NDArray[Any]


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Consecutive windows of the plan: `state` (n,) and `valid` share (n,) of each; of the k that are OK, in order, `images` (k, 3, s, s)
    uint8 (8-bit sources, copied) or float32 in 0..1, and `gsd_m`, `native_gsd_m` (k,) NaN where unknown."""

    index: int
    state: NDArray[np.uint8]
    valid: NDArray[np.float32]
    images: Images
    gsd_m: NDArray[np.float64]
    native_gsd_m: NDArray[np.float64]


class Reader:
    """Read batches of a plan, one thread each; keeps the raster that it is in open."""

    def __init__(self, plan: EmbeddingPlan, tile_px: int, batch: int, min_valid: float) -> None:
        self._plan, self._tile_px, self._batch, self._min_valid = plan, tile_px, batch, min_valid
        self._starts = np.cumsum([0, *(len(grid.boxes) for grid in plan.grids)])

    def batches(self, indexes: Iterator[int]) -> Iterator[TileBatch]:
        """Read the batches of these numbers, in their order."""
        with ExitStack() as held:
            opened: Grid | None = None
            for index in indexes:
                tiles: list[_Tiles] = []
                for grid, rows in self._parts(index):
                    if opened is None or grid.source is not opened.source or grid.key != opened.key:
                        held.close()
                        picture = grid.source.opened(grid.key)
                        if isinstance(picture, GeoTiff):
                            held.enter_context(picture.kept_open())
                        opened = grid
                    tiles.append(_read(grid, grid.source.opened(grid.key), rows, self._tile_px))
                yield self._joined(index, tiles)

    def _parts(self, index: int) -> Iterator[tuple[Grid, NDArray[np.int64]]]:
        """Give the grids that a batch lies in, with its windows in each."""
        first, last = index * self._batch, min((index + 1) * self._batch, int(self._starts[-1]))
        for number in range(int(np.searchsorted(self._starts, first, "right")) - 1, len(self._plan.grids)):
            start, end = int(self._starts[number]), int(self._starts[number + 1])
            if start >= last:
                break
            yield self._plan.grids[number], np.arange(max(first, start), min(last, end)) - start

    def _joined(self, index: int, parts: list[_Tiles]) -> TileBatch:
        valid = np.concatenate([part.valid for part in parts])
        state = np.concatenate([part.state for part in parts])
        state[(state == OK) & (valid < self._min_valid)] = EMPTY
        pictures = [image for part in parts for image in part.images]
        chosen = [image for image, s in zip(pictures, state, strict=True) if s == OK and image is not None]
        if all(image.dtype == np.uint8 for image in chosen) and chosen:
            images: Images = np.stack(chosen)
        else:
            floats = [
                image if image.dtype == np.float32 else image.astype(np.float32) / 255 for image in chosen
            ]
            images = (
                np.stack(floats) if floats else np.empty((0, 3, self._tile_px, self._tile_px), np.float32)
            )
        scales = [(part.grid.gsd_m, part.grid.native_gsd_m) for part in parts for _ in part.images]
        known = np.array(scales, np.float64).reshape(-1, 2)[state == OK]
        return TileBatch(index, state, valid, images, known[:, 0], known[:, 1])


@dataclass(frozen=True, eq=False)
class _Tiles:
    grid: Grid
    state: NDArray[np.uint8]
    valid: NDArray[np.float32]
    images: list[NDArray[np.uint8] | NDArray[np.float32] | None]


def _read(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> _Tiles:
    """Read some windows of one grid, those of one row at once; those that cannot be read are marked."""
    if grid.lonlat is not None:
        runs = [rows[i : i + 1] for i in range(len(rows))]
    else:
        runs = np.split(rows, np.flatnonzero(np.diff(grid.boxes[rows, 1])) + 1)
    found = [tile for run in runs for tile in _attempt(grid, picture, run, tile_px)]
    state = np.array([UNREADABLE if tile is None else OK for tile in found], np.uint8)
    valid = np.array([0 if tile is None else tile.share for tile in found], np.float32)
    return _Tiles(grid, state, valid, [None if tile is None else tile.image for tile in found])


@dataclass(frozen=True, eq=False)
class _Tile:
    image: NDArray[np.uint8] | NDArray[np.float32]
    share: float


def _attempt(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> list[_Tile | None]:
    """Read a run of windows together, or one by one where something in it is damaged; None for the damaged ones."""
    try:
        return [
            *(
                _globe_tiles(grid, rows, tile_px)
                if grid.lonlat is not None
                else _cut(grid, picture, rows, tile_px)
            )
        ]
    except GeoError:
        return (
            [None]
            if len(rows) == 1
            else [tile for row in rows for tile in _attempt(grid, picture, np.array([row]), tile_px)]
        )


def _globe_tiles(grid: Grid, rows: NDArray[np.int64], tile_px: int) -> Iterator[_Tile]:
    assert grid.lonlat is not None
    for lon, lat in grid.lonlat[rows]:
        spec = TileSpec(
            TileRef(grid.source.name, grid.key),
            lonlat=(float(lon), float(lat)),
            gsd_m=grid.gsd_m,
            size_px=tile_px,
            rgb=grid.rgb,
        )
        tile = grid.source.read(spec)
        yield _Tile(to_unit(tile), float(tile.valid.mean()))


def _cut(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> Iterator[_Tile]:
    """Decode what a run of windows covers once, and cut every window out of it."""
    header = grid.header
    level_width, level_height = header.levels[grid.level]
    scale = np.array([level_width / header.width, level_height / header.height] * 2)
    boxes = grid.boxes[rows] * scale
    copied = bool((boxes == np.round(boxes)).all() and (boxes[:, 2:] == tile_px).all())
    margin = 0 if copied else MARGIN_PX
    left, top = (max(int(np.floor(boxes[:, i].min() + 1e-6)) - margin, 0) for i in (0, 1))
    right, bottom = (
        min(int(np.ceil((boxes[:, i] + boxes[:, i + 2]).max() - 1e-6)) + margin, end)
        for i, end in ((0, level_width), (1, level_height))
    )
    bands = tuple(dict.fromkeys(grid.rgb))
    raw = picture.read(grid.level, (left, top, right - left, bottom - top), bands)
    order = [bands.index(band) for band in grid.rgb]
    ranges = [picture.value_range[band] for band in grid.rgb]
    for box in boxes:
        piece = _piece(raw, box - (left, top, 0, 0), tile_px, copied=copied)
        yield _Tile(_unit(piece, order, ranges), np.count_nonzero(piece.valid) / piece.valid.size)


def _piece(raw: Raw, box: NDArray[np.float64], tile_px: int, *, copied: bool) -> Raw:
    """Cut a window out of what was read, resampled to the tile's size unless its pixels are fed as they are."""
    col, row, width, height = (float(v) for v in box)
    if copied:
        window = np.s_[..., round(row) : round(row) + tile_px, round(col) : round(col) + tile_px]
        return Raw(raw.pixels[window], raw.valid[window])
    left, top = max(int(col) - MARGIN_PX, 0), max(int(row) - MARGIN_PX, 0)
    around = np.s_[
        ..., top : int(np.ceil(row + height)) + MARGIN_PX, left : int(np.ceil(col + width)) + MARGIN_PX
    ]
    pixels, valid = raw.pixels[around], raw.valid[around]
    width, height = min(width, pixels.shape[2] - (col - left)), min(height, pixels.shape[1] - (row - top))
    return Raw(*resize(pixels, valid, Cut((col - left, row - top, width, height), tile_px, tile_px)))


def _unit(
    piece: Raw, order: list[int], ranges: list[tuple[float, float]]
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Bring values to what the network is fed: 8 bit as they are, others to 0..1; holes take the mean of what is known."""
    pixels = piece.pixels if order == list(range(len(piece.pixels))) else piece.pixels[order]
    if pixels.dtype == np.uint8 and all(span == EIGHT_BIT for span in ranges):
        unit: NDArray[np.uint8] | NDArray[np.float32] = pixels
    else:
        low, high = np.array(ranges, np.float32).T[:, :, None, None]
        unit = pixels.astype(np.float32)
        unit -= low
        unit *= 1 / (high - low)
        np.clip(unit, 0, 1, out=unit)
    if piece.valid.all() or not piece.valid.any():
        return unit
    known = unit[:, piece.valid].mean(axis=1)
    filled = np.round(known) if unit.dtype == np.uint8 else known
    return np.where(piece.valid, unit, filled[:, None, None].astype(unit.dtype))
