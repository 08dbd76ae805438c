"""Where the windows of an embedding run lie in one raster, and which of them hold data.

A raster is covered row by row. The last window of a row or column is moved inward rather than left out. In
degrees every row has its own width, so that a tile is square on the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geo import ground
from ...geo.picture import Header, Known, Picture, native_gsd
from ...geo.sources.raster import GeoTiff
from ...geo.tile import GeoError

STRIPE_PX = 8192
"""Windows are read in vertical stripes of this width, so that blocks stay cached for the next row."""

OVERVIEW_PX = 4_000_000
"""Largest overview that is read to find out where a raster holds data."""

LEFTOVER = 0.05
"""A strip at the right or bottom narrower than this fraction of a tile gets no window of its own."""

NARROWEST = 0.5
"""A raster narrower than a tile is cut into squares of its own width, down to this fraction of a tile."""

TOO_WIDE = 1.02
"""Near a pole a raster in degrees is narrower than a tile; up to this factor the tile counts as square."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Boxes (n, 4) in reading order (column, row, width, height), and the GSD as fed.

    `smaller`: the picture is smaller than a tile. `polar`: how many tiles near a pole were left out.
    """

    boxes: NDArray[np.float64]
    gsd_m: float
    smaller: bool = False
    polar: int = 0


class TooManyWindowsError(Exception):
    """A picture that needs more windows than the caller allows; `count` is how many at least."""

    def __init__(self, count: float) -> None:
        super().__init__(count)
        self.count = count


def windows(
    header: Header, known: Known, gsd: float | None, tile_px: int, stride_px: int, most: int = 2**31
) -> Windows:
    """Lay windows over a picture.

    Raises GeoError if none would be square on the ground, and TooManyWindowsError before more than `most` of
    them take memory.
    """
    width, height = header.width, header.height
    centre_gsd = native_gsd(header, known) or (1.0, 1.0)
    gsd_m = gsd or math.sqrt(centre_gsd[0] * centre_gsd[1])
    across, down = (tile_px * source_step(gsd_m, native) for native in centre_gsd)
    hop = stride_px / tile_px
    in_degrees = header.crs is not None and header.transform is not None and not _has_one_gsd(header)
    if across > width + 1e-6 or down > height + 1e-6:
        side_m = min(width * centre_gsd[0], height * centre_gsd[1])
        w, h = side_m / centre_gsd[0], side_m / centre_gsd[1]
        boxes = np.array([[(width - w) / 2, (height - h) / 2, w, h]])
        if not in_degrees and w >= NARROWEST * across and (width >= across or height >= down):
            tops, lefts = _starts(height, h, h * hop), _starts(width, w, w * hop)
            boxes = np.array([[left, top, w, h] for top in tops for left in lefts])
        return Windows(boxes, side_m / tile_px, smaller=True)
    rows: list[NDArray[np.float64]] = []
    polar = 0
    count = 0.0
    for top in _starts(height, down, down * hop):
        row_gsd = native_gsd(header, known, (width / 2, top + down / 2)) if in_degrees else None
        wide = tile_px * source_step(gsd_m, (row_gsd or centre_gsd)[0])
        if wide > width * TOO_WIDE:
            polar += 1
            continue
        wide = min(wide, float(width))
        count += max((width - wide) / (wide * hop), 1.0)
        if count > most:
            raise TooManyWindowsError(count)
        left = _starts(width, wide, wide * hop)
        sides = (np.full_like(left, value) for value in (top, wide, down))
        rows.append(np.stack([left, *sides], axis=1))
    if not rows:
        raise GeoError(
            "It is so close to a pole that it is narrower than a tile everywhere: "
            "reproject it to a polar grid (EPSG:3413 or EPSG:3031)."
        )
    boxes = np.concatenate(rows)
    order = np.lexsort((boxes[:, 0], boxes[:, 1], boxes[:, 0] // STRIPE_PX))
    return Windows(boxes[order], gsd_m, polar=polar)


def count_windows(header: Header, known: Known, gsd: float | None, stride_px: int) -> float:
    """Estimate how many windows `windows` would lay; in degrees from the GSD at the centre."""
    centre_gsd = native_gsd(header, known) or (1.0, 1.0)
    gsd_m = gsd or math.sqrt(centre_gsd[0] * centre_gsd[1])
    across, down = (max(gsd_m / native, 1e-300) * stride_px for native in centre_gsd)
    return max(header.width / across, 1.0) * max(header.height / down, 1.0)


def source_step(gsd_m: float, native_m: float) -> float:
    """Return source pixels per fed pixel; exactly 1 if they differ only by rounding."""
    ratio = gsd_m / native_m
    return 1.0 if abs(ratio - 1) < 1e-6 else ratio


def on_earth(header: Header) -> bool:
    """Tell whether the georeference of a raster places any of 9 x 9 points in it on Earth."""
    if header.crs is None or header.transform is None:
        return False
    cols, rows = np.meshgrid(np.linspace(0, header.width, 9), np.linspace(0, header.height, 9))
    lon, lat = ground.to_lonlat(header.crs, header.transform, cols.ravel(), rows.ravel())
    valid = np.isfinite(lon) & (np.abs(lon) <= 720) & (np.abs(lat) < 90)  # latitudes beyond 90 come as 90
    return bool(valid.any())


def _has_one_gsd(header: Header) -> bool:
    """Tell whether pixels measure the same at the top and at the bottom of a raster, to a thousandth."""
    top, bottom = (native_gsd(header, Known(), (header.width / 2, row)) for row in (0.5, header.height - 0.5))
    return top is not None and bottom is not None and abs(top[0] / bottom[0] - 1) < 1e-3


def _starts(length: float, side: float, hop: float) -> NDArray[np.float64]:
    """Return starts of windows of `side` in `length`: every `hop`, and one flush with the end if needed."""
    count = int((length - side) / hop + 1e-6) + 1
    starts = np.arange(count) * hop
    rest = length - (starts[-1] + side)
    if rest > LEFTOVER * side:
        starts = np.append(starts, length - side)
    return np.asarray(np.round(starts) if side == round(side) and hop == round(hop) else starts, np.float64)


def may_hold_data(picture: Picture, boxes: NDArray[np.float64], level: int) -> NDArray[np.bool_]:
    """Tell which windows may hold data, from the blocks that were written and from validity in an overview.

    The overview is no finer than the `level` to be read: of a remote raster, a finer one would cost more than
    the tiles.
    """
    keep = np.ones(len(boxes), bool)
    if not isinstance(picture, GeoTiff):
        return keep
    written = picture.written()
    if written is not None:
        keep &= _any_inside(written.blocks, boxes, written.block_px)
    levels = picture.header.levels
    coarse = next((i for i, (w, h) in enumerate(levels) if i >= max(level, 1) and w * h <= OVERVIEW_PX), None)
    if coarse is not None:
        try:
            valid = picture.read(coarse, (0, 0, *levels[coarse])).valid
        except GeoError:  # a damaged overview is no reason to leave windows out
            return keep
        cell_px = (picture.header.width / valid.shape[1], picture.header.height / valid.shape[0])
        keep &= _any_inside(valid, boxes, cell_px)
    return keep


def _any_inside(
    flags: NDArray[np.bool_], boxes: NDArray[np.float64], cell_px: tuple[float, float]
) -> NDArray[np.bool_]:
    """Tell for each box whether any flag of a coarse map is set inside it, by a summed-area table.

    `flags` (rows, cols) with cells of `cell_px` (width, height).
    """
    rows, cols = flags.shape
    total = np.pad(np.cumsum(np.cumsum(flags, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    fx, fy = cell_px
    left, top = np.floor(boxes[:, 0] / fx).astype(int), np.floor(boxes[:, 1] / fy).astype(int)
    right = np.minimum(np.ceil((boxes[:, 0] + boxes[:, 2]) / fx).astype(int), cols)
    bottom = np.minimum(np.ceil((boxes[:, 1] + boxes[:, 3]) / fy).astype(int), rows)
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0
