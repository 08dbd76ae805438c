"""Where the windows of an embedding run lie in one raster, at which overview they are read, and which of them hold nothing.

A raster is covered row by row. The last window of a row or column is moved inward rather than left out. In degrees every row has its
own width, so that a tile is square on the ground.
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
"""Windows are read in vertical stripes of this width, so that the blocks of one row still lie in the cache when the next row needs them."""

MAP_PX = 4_000_000
LEFT_OVER = 0.05
"""A strip at the right or bottom narrower than this part of a tile is not worth a window of its own."""


STRIP = 0.5
"""A raster as long as a tile but narrower is cut into squares of its own width, down to this part of a tile; of less, enlarging would make more than
there is."""

TOO_WIDE = 1.02
"""Near a pole a raster in degrees is narrower than a tile; up to this the tile counts as square, as scales up to 2 % off count as true."""


@dataclass(frozen=True, eq=False)
class Laid:
    """Boxes (n, 4) in reading order, the GSD as fed, whether the picture is `small`er than a tile, and how many tiles near a pole were left out."""

    boxes: NDArray[np.float64]
    gsd_m: float
    small: bool = False
    polar: int = 0


class TooManyWindowsError(Exception):
    """A picture that needs more windows than the caller allows; `count` is how many at least."""

    def __init__(self, count: float) -> None:
        super().__init__(count)
        self.count = count


def windows(
    header: Header, known: Known, gsd: float | None, tile_px: int, stride_px: int, most: int = 2**31
) -> Laid:
    """Lay windows over a picture. Raises GeoError where none of them would be square on the ground, and TooManyWindowsError before
    more than `most` of them take memory."""
    width, height = header.width, header.height
    middle = native_gsd(header, known) or (1.0, 1.0)
    gsd_m = gsd or math.sqrt(middle[0] * middle[1])
    across, down = (tile_px * _step(gsd_m / g) for g in middle)
    hop = stride_px / tile_px
    in_degrees = header.crs is not None and header.transform is not None and not _is_metric(header)
    if across > width + 1e-6 or down > height + 1e-6:
        side_m = min(width * middle[0], height * middle[1])
        w, h = side_m / middle[0], side_m / middle[1]
        boxes = np.array([[(width - w) / 2, (height - h) / 2, w, h]])
        if not in_degrees and w >= STRIP * across and (width >= across or height >= down):
            boxes = np.array(
                [
                    [left, top, w, h]
                    for top in _starts(height, h, h * hop)
                    for left in _starts(width, w, w * hop)
                ]
            )
        return Laid(boxes, side_m / tile_px, small=True)
    rows: list[NDArray[np.float64]] = []
    polar = 0
    count = 0.0
    for top in _starts(height, down, down * hop):
        here = (native_gsd(header, known, (width / 2, top + down / 2)) or middle) if in_degrees else middle
        wide = tile_px * _step(gsd_m / here[0])
        if wide > width * TOO_WIDE:
            polar += 1
            continue
        wide = min(wide, float(width))
        count += max((width - wide) / (wide * hop), 1.0)
        if count > most:
            raise TooManyWindowsError(count)
        left = _starts(width, wide, wide * hop)
        rows.append(
            np.stack(
                [left, np.full_like(left, top), np.full_like(left, wide), np.full_like(left, down)], axis=1
            )
        )
    if not rows:
        raise GeoError(
            "It lies so near a pole that it is narrower than a tile everywhere: reproject it to a polar grid (EPSG:3413 or EPSG:3031)."
        )
    boxes = np.concatenate(rows)
    order = np.lexsort((boxes[:, 0], boxes[:, 1], boxes[:, 0] // STRIPE_PX))
    return Laid(boxes[order], gsd_m, polar=polar)


def how_many(header: Header, known: Known, gsd: float | None, stride_px: int) -> float:
    """Count the windows that `windows` would lay, without laying them; in degrees about, from the raster's middle."""
    middle = native_gsd(header, known) or (1.0, 1.0)
    gsd_m = gsd or math.sqrt(middle[0] * middle[1])
    hops = (max(gsd_m / g, 1e-300) * stride_px for g in middle)
    return math.prod(
        max(length / hop, 1.0) for length, hop in zip((header.width, header.height), hops, strict=True)
    )


def on_earth(header: Header) -> bool:
    """Tell whether a raster's coordinate system and transform place any of it on Earth: some of 81 points spread over it."""
    if header.crs is None or header.transform is None:
        return False
    cols, rows = (
        side.ravel()
        for side in np.meshgrid(np.linspace(0, header.width, 9), np.linspace(0, header.height, 9))
    )
    lon, lat = ground.to_lonlat(header.crs, header.transform, cols, rows)
    there = np.isfinite(lon) & (np.abs(lon) <= 720) & (np.abs(lat) < 90)  # latitudes beyond 90 come as 90
    return bool(there.any())


def _step(ratio: float) -> float:
    """Source pixels per fed pixel; what is a copy but for rounding is a copy."""
    return 1.0 if abs(ratio - 1) < 1e-6 else ratio


def _is_metric(header: Header) -> bool:
    """Tell whether one pixel size holds for the whole raster: at its top and bottom it is the same to a thousandth."""
    sizes = [native_gsd(header, Known(), (header.width / 2, row)) for row in (0.5, header.height - 0.5)]
    return all(size is not None for size in sizes) and abs(sizes[0][0] / sizes[1][0] - 1) < 1e-3  # pyright: ignore[reportOptionalSubscript]


def _starts(length: float, side: float, hop: float) -> NDArray[np.float64]:
    """Where windows of `side` start within `length`: every `hop`, and one flush with the end for what would be left over."""
    count = int((length - side) / hop + 1e-6) + 1
    starts = np.arange(count) * hop
    over = length - (starts[-1] + side)
    if over > LEFT_OVER * side:
        starts = np.append(starts, length - side)
    return np.asarray(np.round(starts) if side == round(side) and hop == round(hop) else starts, np.float64)


def level_for(header: Header, boxes: NDArray[np.float64], tile_px: int) -> int:
    """The coarsest overview that is still at least as fine as the tiles."""
    step = boxes[:, 2:].min() / tile_px * (1 + 1e-9)
    enough = [
        i
        for i, (w, h) in enumerate(header.levels)
        if i == 0 or max(header.width / w, header.height / h) <= step
    ]
    return min(enough, key=lambda i: header.levels[i][0])


def not_empty(picture: Picture, boxes: NDArray[np.float64], read: int) -> NDArray[np.bool_]:
    """Tell which windows may hold data, from the blocks that were written and from a coarse overview of validity.

    No finer one than the overview that will be `read`: of a remote raster it would cost more than the tiles.
    """
    keep = np.ones(len(boxes), bool)
    if not isinstance(picture, GeoTiff):
        return keep
    written = picture.written()
    if written is not None:
        keep &= _any_inside(written.blocks, boxes, written.block_px)
    levels = picture.header.levels
    level = next((i for i, (w, h) in enumerate(levels) if i >= max(read, 1) and w * h <= MAP_PX), None)
    if level is not None:
        try:
            valid = picture.read(level, (0, 0, *levels[level])).valid
        except GeoError:  # a damaged overview is no reason to leave ground out
            return keep
        keep &= _any_inside(
            valid, boxes, (picture.header.width / valid.shape[1], picture.header.height / valid.shape[0])
        )
    return keep


def _any_inside(
    flags: NDArray[np.bool_], boxes: NDArray[np.float64], cell_px: tuple[float, float]
) -> NDArray[np.bool_]:
    """Tell for each box whether any flag of a coarse (rows, cols) map with cells of (width, height) is set inside it, by a summed-area table."""
    rows, cols = flags.shape
    total = np.pad(np.cumsum(np.cumsum(flags, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    fx, fy = cell_px
    left, top = np.floor(boxes[:, 0] / fx).astype(int), np.floor(boxes[:, 1] / fy).astype(int)
    right = np.minimum(np.ceil((boxes[:, 0] + boxes[:, 2]) / fx).astype(int), cols)
    bottom = np.minimum(np.ceil((boxes[:, 1] + boxes[:, 3]) / fy).astype(int), rows)
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0
