"""The plan of a scale series: one place at several GSDs with the same mask; no network is involved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..geo.ground import ground_gsd
from ..geo.sources.base import Source
from ..geo.tile import GeoError, Tile, TileSpec
from ..masking import Mask, MaskSpec, make_mask
from ..shown import Shown
from .inputs import MAX_GRID, InputError, read_ground
from .results import Reconstruction

MAX_SCALES = 16
LEAST_GRID = 4
HOLDS = {
    "ground": "Same ground: a coarser scale has fewer pixels, so the network is fed a smaller picture",
    "pixels": "Same pixels: a coarser scale shows more ground, the network is always fed the same size",
}
MASKED = {
    "ground": "The same ground is hidden at every scale. Where a scale shows more ground than the tile, "
    "the mask repeats, mirrored, so that every scale hides the same share",
    "patches": "The same patches are hidden at every scale, so the hidden ground differs",
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ScaleSpec:
    """One place at up to 16 scales, including that of `tile`.

    `hold` is one of HOLDS, `masked` one of MASKED. Raises InputError for other values and counts outside
    2..16.
    """

    tile: TileSpec
    mask: MaskSpec
    hold: str = "ground"
    masked: str = "ground"
    count: int = 8

    def __post_init__(self) -> None:
        if self.hold not in HOLDS or self.masked not in MASKED:
            raise InputError(
                f"A scale series holds {' or '.join(HOLDS)} and hides the same {' or '.join(MASKED)}, not "
                f"{self.hold!r:.20} and {self.masked!r:.20}."
            )
        if not 2 <= self.count <= MAX_SCALES:
            raise InputError(
                f"A scale series has 2 to {MAX_SCALES} scales, not {self.count}: "
                "choose a number in that range."
            )


@dataclass(frozen=True)
class Scale:
    """One scale: `tile` and `mask` to reconstruct, GSD as fed, side of the input; `own`: that of the spec."""

    tile: TileSpec
    mask: MaskSpec
    gsd_m: float
    side_px: int
    own: bool


@dataclass(frozen=True, eq=False)
class ScaleSeries(Shown):
    """One place at several scales, finest first, with the reconstruction at each."""

    scales: tuple[Scale, ...]
    reconstructions: tuple[Reconstruction, ...]

    @property
    def own(self) -> Reconstruction:
        """The reconstruction at the scale of the spec."""
        return next(
            result for scale, result in zip(self.scales, self.reconstructions, strict=True) if scale.own
        )


def gsd_limits(source: Source, tile: TileSpec, side_px: int) -> tuple[float, float]:
    """Return the finest and coarsest GSD in metres of an input: half the native GSD, and the whole picture.

    Raises GeoError if the scale of the picture is unknown.
    """
    native = tile.stated_gsd_m or source.native_gsd_m(tile.ref.key)
    if tile.ref.source == "globe":
        return 1000.0, 10_000_000 / (2 * side_px)
    header = source.header(tile.ref.key)
    wide, high = 1.0, 1.0
    # a degree of longitude is shorter than one of latitude
    if header.crs is not None and header.transform is not None:
        east_west, north_south = ground_gsd(header.crs, header.transform, header.width / 2, header.height / 2)
        wide, high = math.sqrt(east_west / north_south), math.sqrt(north_south / east_west)
    # 0.99: a projection's scale varies across the picture
    across = 0.99 * min(header.width * wide, header.height * high) * native
    return min(native / 2, across / side_px), across / side_px


def ladder(
    spec: ScaleSpec,
    read: Callable[[TileSpec], Tile],
    *,
    input_px: int,
    patch_px: int,
    limits_m: tuple[float, float],
) -> tuple[Scale, ...]:
    """Return the scales of a spec, finest first, evenly spaced in the logarithm, including the spec's own.

    `limits_m` are the finest and coarsest GSD at which `input_px` pixels lie on the picture. If `hold` is
    "ground", the side of the input shrinks in whole patches, from twice the own grid (no finer than the
    source) down to 4 patches. Raises the errors of `read`.
    """
    side = spec.tile.size_px or input_px
    here = read_ground(read, spec.tile, side)
    own_m = here.gsd * min(here.width, here.height) / side
    if spec.hold == "ground":
        steps = [
            (
                _on_same_ground(spec.tile, own_m, side, grid * patch_px),
                grid * patch_px,
                own_m * side / (grid * patch_px),
            )
            for grid in _grids(side // patch_px, own_m / here.native_gsd_m, spec.count)
        ]
    else:
        gsds = _gsds(own_m, min(here.native_gsd_m, own_m), max(limits_m[1], own_m), spec.count)
        steps = [(spec.tile if gsd == own_m else replace(spec.tile, gsd_m=gsd), side, gsd) for gsd in gsds]
    grid = side // patch_px
    own_mask = make_mask(spec.mask, grid, grid)
    scales: list[Scale] = []
    for tile, px, gsd in steps:
        own = tile == spec.tile
        mask = (
            spec.mask
            if own or spec.masked == "patches"
            else _transferred(spec, own_mask, here, read, tile, px, px // patch_px)
        )
        scales.append(Scale(tile, mask, gsd, px, own))
    return tuple(scales)


def _grids(own: int, finer: float, count: int) -> list[int]:
    """Return up to `count` grids, largest first: at most twice the own, no finer than the source."""
    least, most = min(LEAST_GRID, own), min(2 * own, MAX_GRID, max(own, int(own * finer + 1e-6)))
    grids = np.geomspace(least, most, min(count, most - least + 1)).round().astype(int)
    for n in range(1, len(grids)):  # small grids may round to the same number
        grids[n] = max(grids[n], grids[n - 1] + 1)
    return sorted(_with(own, grids.tolist()), reverse=True)


def _gsds(own_m: float, finest_m: float, coarsest_m: float, count: int) -> list[float]:
    if coarsest_m / finest_m < 1.01:
        return [own_m]
    return sorted(
        _with(
            own_m, [min(float(f"{gsd:.4g}"), coarsest_m) for gsd in np.geomspace(finest_m, coarsest_m, count)]
        )
    )


def _with(own: float, values: Iterable[float]) -> list:
    """Replace the value nearest to `own` by it."""
    replaced = list(values)
    replaced[int(np.argmin([abs(np.log(value / own)) for value in replaced]))] = own
    return list(dict.fromkeys(replaced))


def _on_same_ground(tile: TileSpec, own_m: float, own_px: int, side_px: int) -> TileSpec:
    if side_px == own_px:
        return tile
    if tile.gsd_m is None and tile.lonlat is None:
        return replace(tile, size_px=side_px)
    return replace(tile, gsd_m=(tile.gsd_m or own_m) * own_px / side_px, size_px=side_px)


def _transferred(
    spec: ScaleSpec,
    own_mask: Mask,
    here: Tile,
    read: Callable[[TileSpec], Tile],
    tile: TileSpec,
    px: int,
    grid: int,
) -> MaskSpec:
    """Return the mask that hides the same ground on the grid of another scale."""
    box: Box = (0.0, 0.0, 1.0, 1.0)
    if spec.hold == "pixels":
        try:
            box = _box_within(here, read_ground(read, tile, px))
        except GeoError:  # reading this scale for its picture raises the same error
            return spec.mask
    hidden = ground_mask(own_mask.hidden, box, grid)
    return MaskSpec("cells", cells=tuple(np.flatnonzero(hidden).tolist()), painted_on=(grid, grid))


def _box_within(here: Tile, there: Tile) -> Box:
    """Return where `there` lies (left, top, width, height) in units of the side of `here`.

    They are taken as concentric if a position is unknown.
    """
    if here.transform is None or there.transform is None or here.crs != there.crs:
        zoom = there.gsd * there.width / (here.gsd * here.width)
        return (0.5 - zoom / 2, 0.5 - zoom / 2, zoom, zoom)
    (a, _, c, _, e, f), (a2, _, c2, _, e2, f2) = here.transform, there.transform
    across, down = a * here.width, e * here.height
    return ((c2 - c) / across, (f2 - f) / down, a2 * there.width / across, e2 * there.height / down)


def ground_mask(hidden: NDArray[np.bool_], box: Box, grid: int) -> NDArray[np.bool_]:
    """Hide the same ground on another grid: bool (g, g) to (grid, grid).

    `box` (left, top, width, height) is the new grid in units of the old one; beyond the old grid its mask
    repeats, mirrored. The same share is hidden on both, so that errors can be compared: the cells that hidden
    ground covers most, equal ones in a fixed, scattered order.
    """
    old = hidden.shape[0]
    rows, cols = (
        _overlaps(old, start, length, grid) for start, length in ((box[1], box[3]), (box[0], box[2]))
    )
    covered = rows @ hidden.astype(np.float64) @ cols.T
    count = round(float(hidden.mean()) * grid * grid)
    scattered = np.argsort(np.random.PCG64(0).random_raw(grid * grid), kind="stable").argsort()
    order = np.lexsort((scattered, -covered.ravel().round(9)))
    chosen = np.zeros(grid * grid, np.bool_)
    chosen[order[:count]] = True
    return chosen.reshape(grid, grid)


def _overlaps(old: int, start: float, length: float, grid: int) -> NDArray[np.float64]:
    """Return the share (grid, old) of each new cell that each old cell and its mirror images cover."""
    edges = (start + length * np.arange(grid + 1) / grid) * old
    turns, rest = np.divmod(edges[:, None], 2 * old)  # each turn passes every cell there and back
    cells = np.arange(old)[None]
    passed = 2 * turns + np.clip(rest - cells, 0, 1) + np.clip(rest - (2 * old - 1 - cells), 0, 1)
    return np.diff(passed, axis=0) / np.diff(edges)[:, None]
