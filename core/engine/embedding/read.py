"""Reading tiles: a row of windows is decoded at once, cut, resampled, and put together into batches."""

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
from ...geo.sources.untrusted import FileLimitError
from ...geo.stretch import EIGHT_BIT, to_unit
from ...geo.tile import GeoError, TileRef, TileSpec
from .grids import Grid
from .plan import EmbeddingPlan

OK, UNREADABLE, EMPTY = 0, 1, 2
"""States of a window: embedded; in the table without a vector; left out of the table."""

MARGIN_PX = 3

Image = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Consecutive windows of the plan: `state` (n,) and `valid` fraction (n,) of each.

    Of the k windows that are OK, in order: `images` (k, 3, s, s), uint8 (8-bit sources, copied) or float32 in
    0..1, and `gsd_m`, `native_gsd_m` (k,), NaN where unknown.
    """

    index: int
    state: NDArray[np.uint8]
    valid: NDArray[np.float32]
    images: NDArray[Any]
    gsd_m: NDArray[np.float64]
    native_gsd_m: NDArray[np.float64]

    def unit_images(self) -> NDArray[np.float32]:
        """Return the images as float32 in 0..1."""
        images = self.images.astype(np.float32, copy=False)
        return images / np.float32(255) if self.images.dtype == np.uint8 else images


class Reader:
    """Reads batches of a plan; keeps the current raster open."""

    def __init__(self, plan: EmbeddingPlan, tile_px: int, batch: int, min_valid: float) -> None:
        self._plan, self._tile_px, self._batch, self._min_valid = plan, tile_px, batch, min_valid
        self._starts = np.cumsum([0, *(len(grid.boxes) for grid in plan.grids)])

    def batches(self, indexes: Iterator[int]) -> Iterator[TileBatch]:
        """Read the batches of these numbers, in their order."""
        with ExitStack() as stack:
            current: Grid | None = None
            for index in indexes:
                parts: list[_Tiles] = []
                for grid, rows in self._parts(index):
                    if current is None or grid.source is not current.source or grid.key != current.key:
                        stack.close()
                        picture = grid.source.opened(grid.key)
                        if isinstance(picture, GeoTiff):
                            stack.enter_context(picture.kept_open())
                        current = grid
                    parts.append(_read(grid, grid.source.opened(grid.key), rows, self._tile_px))
                yield self._join(index, parts)

    def _parts(self, index: int) -> Iterator[tuple[Grid, NDArray[np.int64]]]:
        """Yield the grids that a batch lies in, with its windows in each."""
        first, last = index * self._batch, min((index + 1) * self._batch, int(self._starts[-1]))
        for number in range(int(np.searchsorted(self._starts, first, "right")) - 1, len(self._plan.grids)):
            start, end = int(self._starts[number]), int(self._starts[number + 1])
            if start >= last:
                break
            yield self._plan.grids[number], np.arange(max(first, start), min(last, end)) - start

    def _join(self, index: int, parts: list[_Tiles]) -> TileBatch:
        valid = np.concatenate([part.valid for part in parts])
        state = np.concatenate([part.state for part in parts])
        state[(state == OK) & (valid < self._min_valid)] = EMPTY
        images = [image for part in parts for image in part.images]
        chosen = [image for image, s in zip(images, state, strict=True) if s == OK and image is not None]
        if not all(image.dtype == np.uint8 for image in chosen):
            chosen = [
                image if image.dtype == np.float32 else image.astype(np.float32) / 255 for image in chosen
            ]
        side = self._tile_px
        stacked = np.stack(chosen) if chosen else np.empty((0, 3, side, side), np.float32)
        gsds = [(part.grid.gsd_m, part.grid.native_gsd_m) for part in parts for _ in part.images]
        known = np.array(gsds, np.float64).reshape(-1, 2)[state == OK]
        return TileBatch(index, state, valid, stacked, known[:, 0], known[:, 1])


@dataclass(frozen=True, eq=False)
class _Tiles:
    grid: Grid
    state: NDArray[np.uint8]
    valid: NDArray[np.float32]
    images: list[Image | None]


@dataclass(frozen=True, eq=False)
class _Tile:
    image: Image
    valid: float


def _read(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> _Tiles:
    """Read some windows of one grid, those of one row at once; unreadable ones are marked."""
    if grid.lonlat is not None:
        runs = [rows[i : i + 1] for i in range(len(rows))]
    else:
        runs = np.split(rows, np.flatnonzero(np.diff(grid.boxes[rows, 1])) + 1)
    tiles = [tile for run in runs for tile in _read_run(grid, picture, run, tile_px)]
    state = np.array([UNREADABLE if tile is None else OK for tile in tiles], np.uint8)
    valid = np.array([0 if tile is None else tile.valid for tile in tiles], np.float32)
    return _Tiles(grid, state, valid, [None if tile is None else tile.image for tile in tiles])


def _read_run(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> list[_Tile | None]:
    """Read windows together, or one by one if something in them is damaged; None for the damaged ones.

    Raises FileLimitError if one window of an untrusted file exceeds the limits: so would the others.
    """
    read = _cut_windows if grid.lonlat is None else _globe_tiles
    try:
        return [*read(grid, picture, rows, tile_px)]
    except GeoError as error:
        if len(rows) > 1:
            return [tile for row in rows for tile in _read_run(grid, picture, np.array([row]), tile_px)]
        if isinstance(error, FileLimitError):
            raise
        return [None]


def _globe_tiles(grid: Grid, _: Picture, rows: NDArray[np.int64], tile_px: int) -> Iterator[_Tile]:
    assert grid.lonlat is not None
    for lon, lat in grid.lonlat[rows].tolist():
        ref = TileRef(grid.source.name, grid.key)
        spec = TileSpec(ref, lonlat=(lon, lat), gsd_m=grid.gsd_m, size_px=tile_px, rgb=grid.rgb)
        tile = grid.source.read(spec)
        yield _Tile(to_unit(tile), float(tile.valid.mean()))


def _cut_windows(grid: Grid, picture: Picture, rows: NDArray[np.int64], tile_px: int) -> Iterator[_Tile]:
    """Decode the area that a run of windows covers once, and cut every window out of it."""
    header = grid.header
    level_width, level_height = header.levels[grid.level]
    scale = np.array([level_width / header.width, level_height / header.height] * 2)
    boxes = grid.boxes[rows] * scale
    is_copy = bool((boxes == np.round(boxes)).all() and (boxes[:, 2:] == tile_px).all())
    margin = 0 if is_copy else MARGIN_PX
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
        window = _cut(raw, box - (left, top, 0, 0), tile_px, is_copy=is_copy)
        yield _Tile(_unit(window, order, ranges), np.count_nonzero(window.valid) / window.valid.size)


def _cut(raw: Raw, box: NDArray[np.float64], tile_px: int, *, is_copy: bool) -> Raw:
    """Cut a window out of what was read, resampled to the tile's size unless its pixels are fed unchanged."""
    col, row, width, height = (float(v) for v in box)
    if is_copy:
        window = np.s_[..., round(row) : round(row) + tile_px, round(col) : round(col) + tile_px]
        return Raw(raw.pixels[window], raw.valid[window])
    left, top = max(int(col) - MARGIN_PX, 0), max(int(row) - MARGIN_PX, 0)
    right, bottom = int(np.ceil(col + width)) + MARGIN_PX, int(np.ceil(row + height)) + MARGIN_PX
    around = np.s_[..., top:bottom, left:right]
    pixels, valid = raw.pixels[around], raw.valid[around]
    width, height = min(width, pixels.shape[2] - (col - left)), min(height, pixels.shape[1] - (row - top))
    return Raw(*resize(pixels, valid, Cut((col - left, row - top, width, height), tile_px, tile_px)))


def _unit(window: Raw, order: list[int], ranges: list[tuple[float, float]]) -> Image:
    """Convert values to network input: 8 bit unchanged, others to 0..1; holes take the mean."""
    pixels = window.pixels if order == list(range(len(window.pixels))) else window.pixels[order]
    if pixels.dtype == np.uint8 and all(span == EIGHT_BIT for span in ranges):
        unit: Image = pixels
    else:
        low, high = np.array(ranges, np.float32).T[:, :, None, None]
        unit = pixels.astype(np.float32)
        unit -= low
        unit *= 1 / (high - low)
        np.clip(unit, 0, 1, out=unit)
    if window.valid.all() or not window.valid.any():
        return unit
    mean = unit[:, window.valid].mean(axis=1)
    fill = np.round(mean) if unit.dtype == np.uint8 else mean
    return np.where(window.valid, unit, fill[:, None, None].astype(unit.dtype))
