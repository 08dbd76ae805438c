"""Planning a sweep: which windows of which pictures at which scale, in which order; everything a resumed sweep must find again.

A raster is covered by windows (core.engine.embedding.windows); the whole globe by places instead, each cut in its own equal-area frame.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geo.catalogue import Catalogue
from ...geo.picture import Header, Known, native_gsd
from ...geo.sources import Source
from ...geo.sources.globe import MAX_ACROSS_M, shows_globe
from ...geo.tile import GeoError, require_gsd
from ...units import metres
from .count import MOST_TILES, distinct_gsds, globe_gsd, require_few, too_many, windows_needed
from .sources import Opened, content_of, named_twice, only_sampled, open_all, source_names
from .spec import EmbeddingError, EmbeddingSpec
from .windows import STRIPE_PX, TooManyWindowsError, level_for, not_empty, on_earth, windows

EARTH_M = 40_030_000.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Windows of one picture at one scale, in reading order.

    `boxes` (n, 4) column, row, width, height in pixels at full size (of the globe: zeros), `lonlat` (n, 2) only for the globe. `level`
    is the overview to read. `gsd_m` as fed, None where nobody knows it. `label` and `product` are what the table calls source and picture,
    `content` a digest of what it holds, `identity` what names its rows: the same on every machine, and no other picture's of the plan.
    `when` it was taken (ISO 8601), empty where nobody knows.
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
        """Tell whether the tiles can go on a map."""
        return self.lonlat is not None or (self.header.crs is not None and self.header.transform is not None)


@dataclass(frozen=True, eq=False)
class EmbeddingPlan:
    """Hold all grids, how many windows were left out as empty, sentences worth knowing before the first tile, and local files that are told from
    others by pieces only."""

    grids: tuple[Grid, ...]
    empty: int
    notes: tuple[str, ...]
    sampled: tuple[Path, ...] = ()

    @property
    def count(self) -> int:
        """The number of windows."""
        return sum(len(grid.boxes) for grid in self.grids)

    def area_km2(self, tile_px: int) -> float:
        """The ground that the windows cover, overlaps counted twice; 0 for windows of unknown scale."""
        return sum(len(grid.boxes) * (tile_px * (grid.gsd_m or 0) / 1000) ** 2 for grid in self.grids)

    def digest(self) -> str:
        """A hash that changes when any window does."""
        digest = hashlib.sha256()
        for grid in self.grids:
            digest.update(f"{grid.key} {grid.gsd_m} {grid.native_gsd_m} {grid.level} {grid.rgb}".encode())
            digest.update(grid.boxes.tobytes())
            digest.update(b"" if grid.lonlat is None else grid.lonlat.tobytes())
        return digest.hexdigest()

    def contents(self) -> dict[str, str]:
        """The digest of what each picture holds, by what the table calls it."""
        return {
            grid.product if grid.product == grid.label else f"{grid.label}/{grid.product}": grid.content
            for grid in self.grids
        }


def make_plan(
    spec: EmbeddingSpec,
    tile_px: int,
    catalogue: Catalogue | None = None,
    most: int | None = None,
    *,
    untrusted: bool = False,
) -> EmbeddingPlan:
    """Lay windows over everything a spec names. Opens files, reads at most an overview of each; raises EmbeddingError and GeoError.

    `catalogue` knows the sources by name; None makes one. The windows of a picture are counted at all scales before any of them is laid, and
    TooManyTilesError is raised where the plan would hold more than `most` (None: MOST_TILES).
    `untrusted` files that are named by path are read in a child process.
    """
    most = MOST_TILES if most is None else min(most, MOST_TILES)
    for gsd in (*spec.gsd_m, spec.stated_gsd_m):
        require_gsd(gsd)
    stride_px = tile_px if spec.stride_px is None else spec.stride_px
    if not 1 <= stride_px <= 16 * tile_px:
        raise EmbeddingError(
            f"A stride of {stride_px} px cannot be: give 1 to {16 * tile_px} for tiles of {tile_px} px."
        )
    grids: list[Grid] = []
    notes = named_twice(spec)
    empty = laid = 0
    seen: set[Path] = set()
    sampled: list[Path] = []
    for opened in open_all(spec, catalogue, untrusted=untrusted):
        keys = opened.keys(spec.only)
        for key in keys:
            file = opened.file(key)
            if file is not None and file in seen:
                notes.append(f"{opened.product(key)} was named before and is embedded once.")
                continue
            seen |= {file} if file is not None else set()
            try:
                require_few(
                    laid + windows_needed(opened.source, key, stride_px, spec),
                    most,
                    f"{key} at this scale" if not laid else "The sources together",
                )
                scales, said, left_out = _scales(opened, key, tile_px, stride_px, spec, most - laid)
            except TooManyWindowsError as error:
                raise too_many(
                    laid + error.count, most, "The sources together" if laid else f"{key} at this scale"
                ) from error
            except GeoError as error:
                if len(keys) == 1:
                    raise
                notes.append(f"{key} was left out: {error}")
                continue
            grids += _side_by_side(scales)
            sampled += [file] if file is not None and only_sampled(opened.source.opened(key)) else []
            notes += said
            empty += left_out
            laid += sum(len(grid.boxes) for grid in scales)
            require_few(laid, most, "The sources together")
    grids = [grid for grid in grids if len(grid.boxes)]
    if not grids:
        why = f" {notes[0]}" if notes else " Everything in it is nodata." if empty else ""
        raise EmbeddingError(f"There is nothing to embed.{why} Choose another source.")
    return EmbeddingPlan(
        tuple(_cut_short(_identified(grids), spec.most)), empty, tuple(dict.fromkeys(notes)), tuple(sampled)
    )


def _identified(grids: list[Grid]) -> list[Grid]:
    """Give every picture the text that its rows are named by: its key and content, and where two share both, also its source."""
    pictures: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for grid in grids:
        pictures.setdefault((grid.key, grid.content), set()).add((grid.label, grid.product))

    def identity(grid: Grid) -> str:
        alone = len(pictures[grid.key, grid.content]) == 1
        return f"{grid.key} {grid.content}" if alone else f"{grid.label} {grid.product} {grid.content}"

    return [replace(grid, identity=identity(grid)) for grid in grids]


def _scales(
    opened: Opened, key: str, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> tuple[list[Grid], list[str], int]:
    """Lay windows over one picture at every scale that differs; also sentences about it, and how many windows were empty."""
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
    """Tell whether two grids would make the same rows."""
    return (
        one.gsd_m == other.gsd_m
        and one.lonlat is other.lonlat is None
        and np.array_equal(one.boxes, other.boxes)
    )


def _grid(
    source: Source, key: str, gsd: float | None, tile_px: int, stride_px: int, spec: EmbeddingSpec, most: int
) -> tuple[Grid, list[str], int]:
    """Lay windows over one picture; also sentences about it and how many windows were empty."""
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
            f"{key} does not say how much ground a pixel covers: its pixels are embedded as they are, with no GSD in the table."
        )
    elif header.crs is None:
        notes.append(
            f"{key} does not know where on Earth it lies: its tiles are embedded, but kept off the map."
        )
    fed = gsd if native is not None else None
    laid = windows(header, known, fed, tile_px, stride_px, most)
    boxes = laid.boxes
    if header.crs is not None and not on_earth(header):
        notes.append(
            f"{key} says that it lies where there is no Earth ({_where(header)}): its tiles are embedded, but kept off the map."
        )
        header = replace(header, crs=None, transform=None)
    if laid.polar:
        notes.append(
            f"{laid.polar:,} tiles of {key} near a pole were left out: in degrees it is narrower there than a tile; "
            "reproject it to a polar grid (EPSG:3413 or EPSG:3031) for those."
        )
    if laid.small:
        what = "its largest centred square is" if len(boxes) == 1 else "squares as wide as it is are"
        notes.append(f"{key} is smaller than a tile of {tile_px} px: {what} embedded, resampled.")
    level = level_for(header, boxes, tile_px)
    keep = not_empty(picture, boxes, level)
    scalar = None if native is None else math.sqrt(native[0] * native[1])
    grid = Grid(source, key, header, rgb, boxes[keep], level, None if native is None else laid.gsd_m, scalar)
    return grid, notes, int((~keep).sum())


def _where(header: Header) -> str:
    """Say where a raster's upper left corner is, in its own coordinates."""
    assert header.transform is not None
    return f"x {header.transform[2]:.9g}, y {header.transform[5]:.9g}"


def _side_by_side(scales: list[Grid]) -> list[Grid]:
    """Lay the scales of one picture that are read from one level beside each other, strip by strip, so that its blocks are decoded once for all.

    A strip is a row of the coarsest windows within a stripe of columns, narrow enough that its blocks stay in the cache.
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
    """Places (n, 2) in degrees that cover the globe about evenly, both poles among them: rings of latitude, each divided by its own length."""
    rings = max(2, round(EARTH_M / 2 / spacing_m))
    places: list[NDArray[np.float64]] = []
    for lat in np.linspace(90, -90, rings + 1):
        count = max(1, round(EARTH_M * math.cos(math.radians(lat)) / spacing_m))
        lon = -180 + (np.arange(count) + 0.5) * 360 / count
        places.append(np.stack([lon, np.full(count, lat)], axis=1))
    return np.concatenate(places)


def _cut_short(grids: list[Grid], most: int | None) -> list[Grid]:
    """Keep about `most` windows, spread evenly over all."""
    total = sum(len(grid.boxes) for grid in grids)
    if most is None or total <= most:
        return grids
    chosen = np.unique(np.linspace(0, total - 1, most).astype(int))
    kept: list[Grid] = []
    at = 0
    for grid in grids:
        rows = chosen[(chosen >= at) & (chosen < at + len(grid.boxes))] - at
        at += len(grid.boxes)
        if len(rows):
            lonlat = None if grid.lonlat is None else grid.lonlat[rows]
            kept.append(replace(grid, boxes=grid.boxes[rows], lonlat=lonlat))
    return kept


def plan_json(spec: EmbeddingSpec, plan: EmbeddingPlan, decided: dict[str, Any]) -> dict[str, Any]:
    """Everything that a resumed sweep compares before it goes on; plain values, no times, no paths beyond the names of files."""
    said = {
        **asdict(spec),
        **decided,
        "sources": list(source_names(spec)),
        "gsd_m": distinct_gsds(spec.gsd_m),
    }
    for name in ("out", "online", *(() if spec.only else ("only",))):
        del said[name]
    scales: dict[tuple[str, float | None, float | None], int] = {}
    for grid in plan.grids:
        known = (grid.product, grid.gsd_m, grid.native_gsd_m)
        scales[known] = scales.get(known, 0) + len(grid.boxes)
    grids = [
        {"key": key, "gsd_m": gsd, "native_gsd_m": native, "windows": count}
        for (key, gsd, native), count in scales.items()
    ]
    contents = plan.contents()
    found = {
        "spec": said,
        "windows": plan.count,
        "empty": plan.empty,
        "windows_sha256": plan.digest(),
        "contents": dict(list(contents.items())[:1000]),
        "contents_sha256": hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest(),
        "pictures": grids[:1000],
        "notes": list(plan.notes),
    }
    return json.loads(json.dumps(found))
