"""Grids of windows: which parts of one picture are embedded at one scale, and in which order they are read.

Windows cover a raster (see `windows`). The globe is covered by places instead, each cut in its own equal-area
projection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...geo.ground import EARTH_CIRCUMFERENCE_M
from ...geo.picture import Header, Known, native_gsd
from ...geo.sources import Source
from ...geo.sources.globe import MAX_ACROSS_M, shows_globe
from ...units import metres
from .count import distinct_gsds, globe_gsd
from .digests import content_digest
from .sources import OpenedSource
from .spec import EmbeddingError, EmbeddingSpec
from .windows import STRIPE_PX, Windows, may_hold_data, on_earth, windows


@dataclass(frozen=True, eq=False)
class Grid:
    """Windows of one picture at one scale, in reading order.

    `boxes` (n, 4) are column, row, width and height in full-resolution pixels (zeros for the globe);
    `lonlat` (n, 2) is set only for the globe. `level` is the overview to read. `gsd_m` is as fed, None if
    unknown. `label` and `product` name the source and the picture in the table. `content` is a digest of the
    picture; `identity`, from which row ids are derived, is unique in the plan and the same on every machine.
    `when` is the acquisition time (ISO 8601, or empty).
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


@dataclass(frozen=True, eq=False)
class PictureGrids:
    """The grids of one picture, notes for the user, and the number of windows left out as empty."""

    grids: list[Grid]
    notes: list[str]
    empty: int


def grids_of(
    opened: OpenedSource, key: str, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> PictureGrids:
    """Return the grids of one picture at all distinct scales of a spec."""
    picture = opened.source.opened(key)
    content = content_digest(picture)
    when = opened.source.entry(key).when or picture.header.when
    result = PictureGrids([], [], 0)
    for gsd in distinct_gsds(spec.gsd_m) or (None,):
        if shows_globe(picture):
            one = _globe_grid(opened.source, key, gsd, tile_px, stride_px)
        else:
            one = _raster_grid(opened.source, key, gsd, tile_px, stride_px, spec, most)
        grids, empty = result.grids, result.empty
        # A picture that is smaller than a tile, or of unknown scale, has one scale only.
        if not any(_are_equal(one.grids[0], other) for other in grids):
            label, product = opened.label, opened.product(key)
            grid = replace(one.grids[0], label=label, product=product, content=content, when=when)
            grids, empty = [*grids, grid], empty + one.empty
        result = PictureGrids(grids, [*result.notes, *one.notes], empty)
    return result


def _are_equal(one: Grid, other: Grid) -> bool:
    """Tell whether two grids would give the same rows."""
    return (
        one.gsd_m == other.gsd_m
        and one.lonlat is other.lonlat is None
        and np.array_equal(one.boxes, other.boxes)
    )


def _globe_grid(source: Source, key: str, gsd: float | None, tile_px: int, stride_px: int) -> PictureGrids:
    """Return the places that cover the globe at one scale."""
    header, entry = source.opened(key).header, source.entry(key)
    native = globe_gsd(header)
    gsd_m = gsd or native
    across_m = gsd_m * tile_px
    if across_m > MAX_ACROSS_M:
        raise EmbeddingError(
            f"A tile of {tile_px} px at {metres(gsd_m)} is {metres(across_m)} wide, "
            f"more than the {metres(MAX_ACROSS_M)} that the globe can be cut into: "
            f"feed pixels of at most {MAX_ACROSS_M / tile_px:.0f} m (--gsd-m), or smaller tiles (--tile-px)."
        )
    lonlat = globe_places(gsd_m * stride_px)
    boxes = np.zeros((len(lonlat), 4))
    grid = Grid(source, key, header, entry.rgb or header.rgb, boxes, 0, gsd_m, native, lonlat)
    return PictureGrids([grid], [], 0)


def _raster_grid(
    source: Source, key: str, gsd: float | None, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> PictureGrids:
    """Return the windows of a raster at one scale."""
    entry, picture = source.entry(key), source.opened(key)
    header = picture.header
    rgb = entry.rgb or header.rgb
    known = Known(spec.stated_gsd_m or entry.gsd_m)
    native = native_gsd(header, known)
    laid = windows(header, known, gsd if native is not None else None, tile_px, stride_px, most)
    notes = _notes(key, header, laid, tile_px, native_known=native is not None)
    if header.crs is not None and not on_earth(header):
        header = replace(header, crs=None, transform=None)
    level = header.level_for(float(laid.boxes[:, 2:].min()) / tile_px)
    keep = may_hold_data(picture, laid.boxes, level)
    native_m = None if native is None else math.sqrt(native[0] * native[1])
    gsd_m = None if native is None else laid.gsd_m
    grid = Grid(source, key, header, rgb, laid.boxes[keep], level, gsd_m, native_m)
    return PictureGrids([grid], notes, int((~keep).sum()))


def _notes(key: str, header: Header, laid: Windows, tile_px: int, *, native_known: bool) -> list[str]:
    """Tell the user what the table of a raster will lack."""
    notes: list[str] = []
    if not native_known:
        notes.append(
            f"{key} does not state its GSD: its pixels are embedded without resampling, "
            "and the table has no GSD for them."
        )
    elif header.crs is None:
        notes.append(f"{key} is not georeferenced: its tiles are embedded, but cannot be shown on the map.")
    if header.crs is not None and header.transform is not None and not on_earth(header):
        corner = f"x {header.transform[2]:.9g}, y {header.transform[5]:.9g}"
        notes.append(
            f"{key} has coordinates that are not on Earth ({corner}): "
            "its tiles are embedded, but cannot be shown on the map."
        )
    if laid.polar:
        notes.append(
            f"{laid.polar:,} tiles of {key} near a pole were left out, because the raster is narrower there "
            "than a tile: reproject it to a polar grid (EPSG:3413 or EPSG:3031) for those."
        )
    if laid.smaller:
        squares = "its largest centred square is" if len(laid.boxes) == 1 else "squares of its own width are"
        notes.append(f"{key} is smaller than a tile of {tile_px} px: {squares} embedded, resampled.")
    return notes


def interleave(scales: list[Grid]) -> list[Grid]:
    """Interleave the scales of one picture that are read from the same overview, to decode blocks once.

    The order goes strip by strip. A strip is a row of the coarsest windows within a stripe of columns, narrow
    enough that its blocks stay in the cache.
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
    """Return places (n, 2) in degrees that cover the globe evenly: rings of latitude and both poles."""
    rings = max(2, round(EARTH_CIRCUMFERENCE_M / 2 / spacing_m))
    places: list[NDArray[np.float64]] = []
    for lat in np.linspace(90, -90, rings + 1):
        count = max(1, round(EARTH_CIRCUMFERENCE_M * math.cos(math.radians(lat)) / spacing_m))
        lon = -180 + (np.arange(count) + 0.5) * 360 / count
        places.append(np.stack([lon, np.full(count, lat)], axis=1))
    return np.concatenate(places)
