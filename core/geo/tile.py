"""What flows through the program: where a piece of ground is (specs) and what it looks like (a tile)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExplorerError
from ..units import metres

RGB = tuple[int, int, int]
Window = tuple[int, int, int, int]
Affine6 = tuple[float, float, float, float, float, float]


class GeoError(ExplorerError):
    """A picture, raster, place or pack that cannot be used as asked; the message says what to do next."""


@dataclass(frozen=True)
class Footprint:
    """Bound a tile on the globe: WGS84 degrees; `east < west` means that it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @property
    def centre(self) -> tuple[float, float]:
        """Give the middle as (longitude, latitude) in degrees, longitude within [-180, 180)."""
        width = (self.east - self.west) % 360 or (360.0 if self.east != self.west else 0.0)
        return (self.west + width / 2 + 180) % 360 - 180, (self.south + self.north) / 2


@dataclass(frozen=True)
class TileRef:
    """Name a picture: `source` is a name in the catalogue ("samples", "globe", ...), `key` an entry inside it."""

    source: str
    key: str


@dataclass(frozen=True)
class TileSpec:
    """Say which piece of which picture is wanted and how finely; plain values only, so it is also cache key and URL.

    Place: `window` is (column, row, width, height) in pixels of the source at full resolution; `lonlat` is the centre in
    WGS84 degrees; neither means the largest centred square (of a raster too large to read whole without overviews: the
    largest that costs a bounded read). `window` and `lonlat` together are refused.

    Fineness: `gsd_m` alone resamples the place to that many metres per pixel; `size_px` alone resamples its longer side
    to that many pixels; both cut the ground square of `size_px * gsd_m` metres about the place's centre; neither keeps
    native pixels. `lonlat` without `size_px` means 224 pixels.

    `rgb` are the 0-based bands to show and to feed (None: the source's own choice). `stated_gsd_m` is what the user says
    a native pixel measures, for pictures that do not know (it wins over the file when given).

    Raises GeoError when a value cannot be meant (a GSD that is not a positive number, an empty window, a latitude of 95).
    """

    ref: TileRef
    window: Window | None = None
    lonlat: tuple[float, float] | None = None
    gsd_m: float | None = None
    size_px: int | None = None
    rgb: RGB | None = None
    stated_gsd_m: float | None = None

    def __post_init__(self) -> None:
        require_gsd(self.gsd_m)
        require_gsd(self.stated_gsd_m)
        if self.size_px is not None and not 1 <= self.size_px <= MAX_SIDE_PX:
            raise GeoError(
                f"A tile of {self.size_px} pixels a side cannot be made: ask for 1 to {MAX_SIDE_PX}."
            )
        if self.window is not None and self.lonlat is not None:
            raise GeoError(
                "A tile is placed by a window or by a longitude and latitude, not by both: give one of them."
            )
        if self.window is not None and (len(self.window) != 4 or min(self.window[2:]) < 1):
            raise GeoError(
                f"The window {self.window} is empty: give column, row, width and height, the last two at least 1."
            )
        if self.lonlat is not None:
            _require_lonlat(self.lonlat)
        if self.rgb is not None and (len(self.rgb) != 3 or min(self.rgb) < 0):
            raise GeoError(f"The bands {self.rgb} cannot be shown: give three band numbers, counted from 0.")


@dataclass(frozen=True, eq=False)
class Tile:
    """Carry a piece of ground: raw values together with their scale, place and validity.

    `pixels` (c, h, w) raw values of all bands, native dtype or float32/float64 once resampled; always finite; where not
    valid they say nothing (0, or the colour that an 8-bit file draws there). `gsd_m` metres on the ground of one pixel
    (along a row: east-west, along a column: north-south). `bands` c names. `footprint` None where the place is unknown.
    `valid` (h, w) bool, False for nodata, NaN and transparency. `value_range` per band the (low, high) that become 0 and
    1 for the network: 0 and 255 for 8 bit, source-wide 1st and 99th percentiles otherwise. `rgb` 0-based bands.
    `native_gsd_m` scalar GSD of the source before any resampling. `crs` as WKT or PROJ text and `transform` (a, b, c, d,
    e, f: x = a col + b row + c, y = d col + e row + f) where known.
    """

    ref: TileRef
    pixels: NDArray[Any]
    gsd_m: tuple[float, float]
    bands: tuple[str, ...]
    footprint: Footprint | None
    valid: NDArray[np.bool_]
    value_range: tuple[tuple[float, float], ...]
    rgb: RGB
    native_gsd_m: float
    credit: str = ""
    crs: str | None = None
    transform: Affine6 | None = None

    @property
    def gsd(self) -> float:
        """Give the scalar GSD in metres: the geometric mean of east-west and north-south."""
        return math.sqrt(self.gsd_m[0] * self.gsd_m[1])

    @property
    def height(self) -> int:
        """Give the number of rows."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Give the number of columns."""
        return int(self.pixels.shape[2])


MAX_SIDE_PX = 8192
"""Longest side of a tile in pixels: more than any screen shows or network takes."""


def require_gsd(gsd_m: float | None) -> float | None:
    """Pass a GSD in metres through (or None); raises GeoError unless it is a finite number above zero."""
    if gsd_m is not None and not (math.isfinite(gsd_m) and 1e-4 <= gsd_m <= 1e6):
        raise GeoError(
            f"A GSD of {metres(gsd_m)} cannot be: give metres per pixel above zero, for example 0.3 or 10."
        )
    return gsd_m


def _require_lonlat(lonlat: Sequence[float]) -> None:
    if len(lonlat) != 2 or not all(map(math.isfinite, lonlat)) or abs(lonlat[0]) > 360 or abs(lonlat[1]) > 90:
        raise GeoError(
            f"{tuple(lonlat)} is no place on Earth: give longitude (-180 to 180), then latitude (-90 to 90), in degrees."
        )
