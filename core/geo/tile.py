"""Tiles and their specs: `TileSpec` says which piece of ground to read, `Tile` holds its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExplorerError
from ..shown import Shown
from ..units import metres

RGB = tuple[int, int, int]
Window = tuple[int, int, int, int]
Affine6 = tuple[float, float, float, float, float, float]


class GeoError(ExplorerError):
    """A picture, raster, place or pack that cannot be used; the message says what to do next."""


@dataclass(frozen=True)
class Footprint:
    """Bounds of a tile in WGS84 degrees; `east < west` if it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @property
    def centre(self) -> tuple[float, float]:
        """The centre as (longitude, latitude) in degrees, longitude in [-180, 180)."""
        width = (self.east - self.west) % 360 or (360.0 if self.east != self.west else 0.0)
        return (self.west + width / 2 + 180) % 360 - 180, (self.south + self.north) / 2


@dataclass(frozen=True)
class TileRef:
    """Identifies a picture: `source` is a name in the catalogue ("samples", "globe", ...), `key` an entry
    in it."""

    source: str
    key: str


@dataclass(frozen=True)
class TileSpec:
    """Which piece of which picture to read, and at what resolution.

    Position: `window` is (column, row, width, height) in pixels of the source at full resolution; `lonlat` is
    the centre in WGS84 degrees; neither means the largest centred square (of a large raster without
    overviews, the largest square that can be read at bounded cost). Giving both is an error.

    Resolution: `gsd_m` alone resamples to that many metres per pixel; `size_px` alone resamples the longer
    side to that many pixels; both cut the square of `size_px * gsd_m` metres around the centre; neither keeps
    native pixels. `lonlat` without `size_px` means 224 pixels.

    `rgb` are the 0-based bands to show and to feed (None: chosen by the source). `stated_gsd_m` is the GSD of
    native pixels according to the user; it overrides the file.

    Raises GeoError for invalid values, such as a GSD of zero, an empty window or a latitude of 95.
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
                f"A tile must have 1 to {MAX_SIDE_PX} pixels per side; {self.size_px} is not: "
                "choose another size."
            )
        if self.window is not None and self.lonlat is not None:
            raise GeoError(
                "A tile is placed either by a window or by longitude and latitude: give one of them."
            )
        if self.window is not None and (len(self.window) != 4 or min(self.window[2:]) < 1):
            raise GeoError(
                f"The window {self.window} is empty: "
                "give column, row, width and height, the last two at least 1."
            )
        if self.lonlat is not None:
            _require_lonlat(self.lonlat)
        if self.rgb is not None and (len(self.rgb) != 3 or min(self.rgb) < 0):
            raise GeoError(f"The bands {self.rgb} cannot be shown: give three band numbers, counted from 0.")


@dataclass(frozen=True, eq=False)
class Tile(Shown):
    """A piece of ground: raw values with their scale, position and validity.

    `pixels` (c, h, w): raw values of all bands, native dtype or float32/float64 once resampled; always
    finite, and meaningless where not valid (0, or the fill colour of an 8-bit file). `gsd_m`: metres per
    pixel (east-west, north-south). `bands`: c names. `footprint`: None if the position is unknown. `valid`
    (h, w): bool, False for nodata, NaN and transparency. `value_range`: per band the (low, high) that become
    0 and 1 for the network, 0 and 255 for 8 bit, otherwise the 1st and 99th percentile of the source. `rgb`:
    0-based bands. `native_gsd_m` scalar GSD of the source before any resampling. `crs` as WKT or PROJ text
    and `transform` (a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f) where known.
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
        """The scalar GSD in metres: the geometric mean of east-west and north-south."""
        return math.sqrt(self.gsd_m[0] * self.gsd_m[1])

    @property
    def height(self) -> int:
        """The number of rows."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.pixels.shape[2])


MAX_SIDE_PX = 8192
"""The longest side of a tile in pixels, larger than any screen or network input."""


def require_gsd(gsd_m: float | None) -> float | None:
    """Return a GSD in metres (or None) unchanged.

    Raises GeoError unless it is between 0.1 mm and 1,000 km.
    """
    if gsd_m is not None and not (math.isfinite(gsd_m) and 1e-4 <= gsd_m <= 1e6):
        raise GeoError(
            f"A GSD of {metres(gsd_m)} is invalid: give metres per pixel above zero, for example 0.3 or 10."
        )
    return gsd_m


def _require_lonlat(lonlat: Sequence[float]) -> None:
    if len(lonlat) != 2 or not all(map(math.isfinite, lonlat)) or abs(lonlat[0]) > 360 or abs(lonlat[1]) > 90:
        raise GeoError(
            f"{tuple(lonlat)} is not a place on Earth: "
            "give longitude (-180 to 180), then latitude (-90 to 90), in degrees."
        )
