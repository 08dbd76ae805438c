"""Grids of windows: which parts of one picture are embedded at one scale, and in which order they are read.

Windows cover a raster (see `windows`). The globe is covered by places instead, each cut in its own equal-area frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...geo.picture import Header, Known, native_gsd
from ...geo.sources import Source
from ...geo.sources.globe import MAX_ACROSS_M, shows_globe
from ...units import metres
from .count import distinct_gsds, globe_gsd
from .sources import OpenedSource, content_of
from .spec import EmbeddingError, EmbeddingSpec
from .windows import STRIPE_PX, level_for, not_empty, on_earth, windows

EARTH_CIRCUMFERENCE_M = 40_030_000.0
"""Of a sphere with the mean radius, to 10 km. Plans of earlier runs were made with exactly this number."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Windows of one picture at one scale, in reading order.

    `boxes` (n, 4) are column, row, width and height in full-resolution pixels (zeros for the globe); `lonlat` (n, 2) is
    set only for the globe. `level` is the overview to read. `gsd_m` is as fed, None if unknown. `label` and `product`
    name the source and the picture in the table. `content` is a digest of the picture; `identity`, from which row ids
    are derived, is unique in the plan and the same on every machine. `when` is the acquisition time (ISO 8601, or empty).
    """

    source: Source
    key: str
    header: Header
    rgb: tuple[int, int, int]
    boxes: NDArray[np.float64]
    level: int
    gsd_m: float | None
    native_gsd_m: float | None
    lonlat: NDArray[np.float64] | None = None
    label: str = ""
    product: str = ""
    content: str = ""
    identity: str = ""
    when: str = ""

    @property
    def place_known(self) -> bool:
        """Whether the tiles can be placed on a map."""
        return self.lonlat is not None or (self.header.crs is not None and self.header.transform is not None)


def lay_scales(
    opened: OpenedSource, key: str, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> tuple[list[Grid], list[str], int]:
    """Give the grids of one picture at all distinct scales, notes for the user, and the number of empty windows."""
    scales: list[Grid] = []
    notes: list[str] = []
    empty = 0
    picture = opened.source.opened(key)
    when = opened.source.entry(key).when or picture.header.when
    called = {
        "label": opened.label,
        "product": opened.product(key),
        "content": content_of(picture),
        "when": when,
    }
    for gsd in distinct_gsds(spec.gsd_m) or (None,):
        grid, said, left_out = _grid(opened.source, key, gsd, tile_px, stride_px, spec, most)
        notes += said
        if any(
            _same(grid, other) for other in scales
        ):  # a picture smaller than a tile, or of unknown scale, has one scale only
            continue
        scales.append(replace(grid, **called))
        empty += left_out
    return scales, notes, empty


def _same(one: Grid, other: Grid) -> bool:
    """Tell whether two grids would give the same rows."""
    return (
        one.gsd_m == other.gsd_m
        and one.lonlat is other.lonlat is None
        and np.array_equal(one.boxes, other.boxes)
    )


def _grid(
    source: Source, key: str, gsd: float | None, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> tuple[Grid, list[str], int]:
    """Give the grid of one picture at one scale, notes for the user, and the number of empty windows."""
    entry, picture = source.entry(key), source.opened(key)
    header = picture.header
    rgb = entry.rgb or header.rgb
    if shows_globe(picture):
        native = globe_gsd(header)
        across_m = (gsd or native) * tile_px
        if across_m > MAX_ACROSS_M:
            raise EmbeddingError(
                f"A tile of {tile_px} px at {metres(gsd or native)} is {metres(across_m)} wide, more than the {metres(MAX_ACROSS_M)} "
                f"that the globe can be cut into: feed pixels of at most {MAX_ACROSS_M / tile_px:.0f} m (--gsd-m), or smaller tiles (--tile-px)."
            )
        lonlat = globe_places((gsd or native) * stride_px)
        zeros = np.zeros((len(lonlat), 4))
        return Grid(source, key, header, rgb, zeros, 0, gsd or native, native, lonlat), [], 0
    notes: list[str] = []
    known = Known(spec.stated_gsd_m or entry.gsd_m)
    native = native_gsd(header, known)
    if native is None:
        notes.append(
            f"{key} does not state its GSD: its pixels are embedded without resampling, and the table has no GSD for them."
        )
    elif header.crs is None:
        notes.append(f"{key} is not georeferenced: its tiles are embedded, but cannot be shown on the map.")
    fed = gsd if native is not None else None
    laid = windows(header, known, fed, tile_px, stride_px, most)
    boxes = laid.boxes
    if header.crs is not None and not on_earth(header):
        notes.append(
            f"{key} has coordinates that are not on Earth ({_where(header)}): its tiles are embedded, but cannot be shown on the map."
        )
        header = replace(header, crs=None, transform=None)
    if laid.polar:
        notes.append(
            f"{laid.polar:,} tiles of {key} near a pole were left out, because the raster is narrower there than a tile: "
            "reproject it to a polar grid (EPSG:3413 or EPSG:3031) for those."
        )
    if laid.small:
        what = "its largest centred square is" if len(boxes) == 1 else "squares of its own width are"
        notes.append(f"{key} is smaller than a tile of {tile_px} px: {what} embedded, resampled.")
    level = level_for(header, boxes, tile_px)
    keep = not_empty(picture, boxes, level)
    scalar = None if native is None else math.sqrt(native[0] * native[1])
    grid = Grid(source, key, header, rgb, boxes[keep], level, None if native is None else laid.gsd_m, scalar)
    return grid, notes, int((~keep).sum())


def _where(header: Header) -> str:
    """Describe the upper left corner of a raster in its own coordinates."""
    assert header.transform is not None
    return f"x {header.transform[2]:.9g}, y {header.transform[5]:.9g}"


def interleave(scales: list[Grid]) -> list[Grid]:
    """Interleave the scales of one picture that are read from the same overview, so that blocks are decoded once.

    The order goes strip by strip. A strip is a row of the coarsest windows within a stripe of columns, narrow enough
    that its blocks stay in the cache.
    """
    grids: list[Grid] = []
    for level in dict.fromkeys(grid.level for grid in scales):
        shared = [grid for grid in scales if grid.level == level and len(grid.boxes)]
        if len(shared) < 2 or shared[0].lonlat is not None:
            grids += shared
            continue
        shared.sort(key=lambda grid: -(grid.gsd_m or 0))
        tops = np.unique(shared[0].boxes[:, 1])
        pieces: list[tuple[int, int, int, Grid]] = []
        for number, grid in enumerate(shared):
            stripe = (grid.boxes[:, 0] // (STRIPE_PX // 2)).astype(int)
            strip = np.searchsorted(tops, grid.boxes[:, 1], "right")
            order = np.lexsort((grid.boxes[:, 0], grid.boxes[:, 1], strip, stripe))
            ends = np.flatnonzero(np.diff(stripe[order]) | np.diff(strip[order])) + 1
            pieces += [
                (int(stripe[rows[0]]), int(strip[rows[0]]), number, replace(grid, boxes=grid.boxes[rows]))
                for rows in np.split(order, ends)
            ]
        grids += [piece for *_, piece in sorted(pieces, key=lambda piece: piece[:3])]
    return grids


def globe_places(spacing_m: float) -> NDArray[np.float64]:
    """Give places (n, 2), in degrees, that cover the globe about evenly: rings of latitude, including both poles."""
    rings = max(2, round(EARTH_CIRCUMFERENCE_M / 2 / spacing_m))
    places: list[NDArray[np.float64]] = []
    for lat in np.linspace(90, -90, rings + 1):
        count = max(1, round(EARTH_CIRCUMFERENCE_M * math.cos(math.radians(lat)) / spacing_m))
        lon = -180 + (np.arange(count) + 0.5) * 360 / count
        places.append(np.stack([lon, np.full(count, lat)], axis=1))
    return np.concatenate(places)
