"""Open pictures of any kind, and tiles cut from them by reading only the necessary pixels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ground
from .resample import Box, Cut, cut_transform, plan, resize
from .stretch import sample_range
from .tile import RGB, Affine6, GeoError, Tile, TileSpec

MAX_READ_VALUES = 48_000_000
"""The most values (bands x rows x columns) that one tile may read: about 4000 x 4000 in colour."""

STRIP_VALUES = 4_000_000
"""The most values in memory while a coarse tile is averaged from a large window."""

DEFAULT_SIZE_PX = 224
SHOWN_PX = 2048
SAMPLE_PX = 1_000_000
MARGIN_PX = 3


@dataclass(frozen=True)
class Header:
    """Metadata of a picture; `levels` are the (width, height) of full size and overviews."""

    width: int
    height: int
    bands: tuple[str, ...]
    rgb: RGB
    crs: str | None
    transform: Affine6 | None
    levels: tuple[tuple[int, int], ...]
    value_range: tuple[float, float] | None
    """(low, high) fixed by the data type (8 bit); None if it must be estimated from a sample."""
    when: str = ""
    """Acquisition time stated in the file: ISO 8601, UTC unless stated otherwise; empty if unknown."""

    def level_for(self, step: float) -> int:
        """Return the coarsest level that is at least as fine as pixels of `step` full-size pixels."""
        fine_enough = [
            level
            for level, (width, height) in enumerate(self.levels)
            if level == 0 or max(self.width / width, self.height / height) <= step * (1 + 1e-9)
        ]
        return min(fine_enough, key=lambda level: self.levels[level][0])


@dataclass(frozen=True, eq=False)
class Raw:
    """Values as read: `pixels` (c, h, w), finite, and `valid` (h, w)."""

    pixels: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """What an index, a table or the user states about a picture; used where the file does not say."""

    gsd_m: float | None = None
    rgb: RGB | None = None
    credit: str = ""


class Picture(ABC):
    """A picture whose pixels can be read by window and level. Safe to share between threads."""

    @cached_property
    def header(self) -> Header:
        """Metadata of the picture."""
        return self._describe()

    @abstractmethod
    def _describe(self) -> Header: ...

    @abstractmethod
    def read(self, level: int, box: tuple[int, int, int, int], bands: Sequence[int] | None = None) -> Raw:
        """Read `box` = (column, row, width, height) in pixels of a level (0: full size).

        `bands` are 0-based; None reads all.
        """

    @cached_property
    def value_range(self) -> tuple[tuple[float, float], ...]:
        """The values of each band that become 0 and 1 for the network: fixed for 8 bit, else percentiles
        of a sample."""
        header = self.header
        if header.value_range is not None:
            return (header.value_range,) * len(header.bands)
        raws = [self.read(level, box) for level, box in _sample_boxes(header)]
        return tuple(
            sample_range(np.concatenate([raw.pixels[band][raw.valid] for raw in raws]))
            for band in range(len(header.bands))
        )


class ArrayPicture(Picture):
    """A decoded picture: `pixels` (c, h, w), and `valid` (h, w) or None if all are."""

    def __init__(
        self,
        pixels: NDArray[Any],
        valid: NDArray[np.bool_] | None = None,
        *,
        bands: tuple[str, ...],
        crs: str | None = None,
        transform: Affine6 | None = None,
    ) -> None:
        self._pixels = pixels
        self._valid = valid
        count, height, width = pixels.shape
        rgb = (0, 1, 2) if count >= 3 else (0, 0, 0)
        fixed = (0.0, 255.0) if pixels.dtype == np.uint8 else None
        self._header = Header(width, height, bands, rgb, crs, transform, ((width, height),), fixed)

    def _describe(self) -> Header:
        return self._header

    @property
    def pixels(self) -> NDArray[Any]:
        """All pixels (c, h, w)."""
        return self._pixels

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """Which pixels are valid (h, w); None if all are."""
        return self._valid

    def read(self, level: int, box: tuple[int, int, int, int], bands: Sequence[int] | None = None) -> Raw:
        """Return the pixels of a box, as a view of all bands or a copy of some."""
        assert level == 0, "a decoded picture has no overviews"
        col, row, width, height = box
        window = np.s_[row : row + height, col : col + width]
        valid = np.ones((height, width), np.bool_) if self._valid is None else self._valid[window]
        return Raw(self._pixels[:, *window] if bands is None else self._pixels[(list(bands), *window)], valid)


def cut_tile(picture: Picture, spec: TileSpec, known: Known) -> Tile:
    """Read the tile of a spec; raises GeoError if that is not possible."""
    header = picture.header
    size = (header.width, header.height)
    place = _place(header, spec)
    gsd = _gsd(header, spec, known, place)
    gsd_m, size_px = spec.gsd_m, spec.size_px
    if spec.lonlat is not None and size_px is None:
        size_px = DEFAULT_SIZE_PX
    if spec.lonlat is not None and gsd_m is None:
        gsd_m = math.sqrt(gsd[0] * gsd[1])
    if gsd_m is None and size_px is None and place[2] * place[3] * len(header.bands) > MAX_READ_VALUES:
        size_px = SHOWN_PX
    cut = plan(size, place, gsd, gsd_m, size_px)
    raw = _read_cut(picture, cut)
    if not raw.valid.any():
        raise GeoError(
            "This window has no valid pixel (only nodata, NaN or transparency): choose another place."
        )
    transform = cut_transform(header.transform, cut) if header.transform is not None else None
    footprint = None
    if header.crs is not None and header.transform is not None:
        footprint = ground.box_footprint(header.crs, header.transform, cut.box)
    rgb = checked_rgb(spec.rgb or known.rgb or header.rgb, len(header.bands))
    return Tile(
        ref=spec.ref,
        pixels=raw.pixels,
        gsd_m=(gsd[0] * cut.step[0], gsd[1] * cut.step[1]),
        bands=header.bands,
        footprint=footprint,
        valid=raw.valid,
        value_range=picture.value_range,
        rgb=rgb,
        native_gsd_m=math.sqrt(gsd[0] * gsd[1]),
        credit=known.credit,
        crs=header.crs,
        transform=transform,
    )


def native_gsd(
    header: Header, known: Known, at: tuple[float, float] | None = None
) -> tuple[float, float] | None:
    """Return metres per pixel at a pixel position (default: the centre), or None if it is unknown."""
    if header.crs is not None and header.transform is not None:
        gsd = ground.ground_gsd(header.crs, header.transform, *(at or (header.width / 2, header.height / 2)))
        if all(math.isfinite(g) and g > 0 for g in gsd):
            return gsd
    return (known.gsd_m, known.gsd_m) if known.gsd_m is not None else None


def no_gsd() -> GeoError:
    """Return the error for a picture of unknown scale."""
    return GeoError(
        "This picture does not say how much ground a pixel covers: "
        "state its GSD in metres per pixel, for example 0.3."
    )


def _place(header: Header, spec: TileSpec) -> Box:
    """Return the box of a spec; for a position by coordinates, a box without extent."""
    if spec.window is not None:
        col, row, width, height = spec.window
        if col < 0 or row < 0 or col + width > header.width or row + height > header.height:
            raise GeoError(
                f"The window {col},{row},{width},{height} extends beyond the picture, which is "
                f"{header.width} x {header.height} px: choose column, row, width and height inside it."
            )
        return float(col), float(row), float(width), float(height)
    if spec.lonlat is not None:
        if header.crs is None or header.transform is None:
            raise GeoError(
                "This picture has no georeference: choose a window in pixels instead of coordinates."
            )
        position = ground.to_pixel(header.crs, header.transform, spec.lonlat)
        if position is None or not (0 <= position[0] <= header.width and 0 <= position[1] <= header.height):
            lon, lat = spec.lonlat
            raise GeoError(
                f"Longitude {lon:g}, latitude {lat:g} is outside this picture: choose a place inside it."
            )
        return position[0], position[1], 0.0, 0.0
    side = min(header.width, header.height)
    if _finest_level_cost(header, side) > MAX_READ_VALUES:
        side = math.isqrt(MAX_READ_VALUES // len(header.bands))
    return float((header.width - side) // 2), float((header.height - side) // 2), float(side), float(side)


def _finest_level_cost(header: Header, side: int) -> float:
    """Count the values to read for a square of `side` from the coarsest sufficient level."""
    factor = max([1.0, *(header.width / w for w, _ in header.levels if side * w / header.width >= SHOWN_PX)])
    return (side / factor) ** 2 * len(header.bands)


def _gsd(header: Header, spec: TileSpec, known: Known, place: Box) -> tuple[float, float]:
    if spec.stated_gsd_m is not None:
        return spec.stated_gsd_m, spec.stated_gsd_m
    gsd = native_gsd(header, known, (place[0] + place[2] / 2, place[1] + place[3] / 2))
    if gsd is None:
        raise no_gsd()
    return gsd


def checked_rgb(rgb: RGB, count: int) -> RGB:
    """Return three 0-based bands unchanged; raises GeoError if the picture has fewer."""
    if max(rgb) >= count:
        raise GeoError(
            f"There is no band {max(rgb)}: the picture has {count}, so choose bands from 0 to {count - 1}."
        )
    return rgb


def _read_cut(picture: Picture, cut: Cut) -> Raw:
    """Read the coarsest level that is finer than requested, around the box only, and resample it."""
    header = picture.header
    level = header.level_for(min(cut.step))
    fx, fy = header.width / header.levels[level][0], header.height / header.levels[level][1]
    col, row, width, height = cut.box[0] / fx, cut.box[1] / fy, cut.box[2] / fx, cut.box[3] / fy
    inner = Cut((col, row, width, height), cut.cols, cut.rows)
    values = math.ceil(width) * math.ceil(height) * len(header.bands)
    if max(values, cut.cols * cut.rows * len(header.bands)) > MAX_READ_VALUES:
        raise GeoError(
            f"This tile would read {values / 1e6:,.0f} million values: "
            "choose a smaller window, or add overviews "
            "to the raster with `gdaladdo -r average FILE 2 4 8 16 32 64`."
        )
    if inner.is_copy or not inner.is_coarser:
        return _read_box(picture, level, inner)
    at_once = max(1, int(cut.rows * STRIP_VALUES / max(values, 1)))
    tops = range(0, cut.rows, at_once)
    strips = [_strip(inner, top, min(at_once, cut.rows - top)) for top in tops]
    raws = [_read_box(picture, level, strip) for strip in strips]
    return Raw(np.concatenate([r.pixels for r in raws], axis=1), np.concatenate([r.valid for r in raws]))


def _strip(cut: Cut, top: int, rows: int) -> Cut:
    col, row, width, _ = cut.box
    return Cut((col, row + top * cut.step[1], width, rows * cut.step[1]), cut.cols, rows)


def _read_box(picture: Picture, level: int, cut: Cut) -> Raw:
    """Read the pixels of a level that a cut needs, and resample them."""
    col, row, width, height = cut.box
    level_width, level_height = picture.header.levels[level]
    margin = 0 if cut.is_coarser else MARGIN_PX  # bicubic needs pixels around the box, averaging does not
    left, top = max(math.floor(col + 1e-6) - margin, 0), max(math.floor(row + 1e-6) - margin, 0)
    right = min(math.ceil(col + width - 1e-6) + margin, level_width)
    bottom = min(math.ceil(row + height - 1e-6) + margin, level_height)
    raw = picture.read(level, (left, top, right - left, bottom - top))
    return Raw(
        *resize(raw.pixels, raw.valid, Cut((col - left, row - top, width, height), cut.cols, cut.rows))
    )


def _sample_boxes(header: Header) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Return (level, box) pairs that represent a picture with at most about a million pixels per band."""
    level = len(header.levels) - 1
    while level > 0 and math.prod(header.levels[level - 1]) <= SAMPLE_PX:
        level -= 1
    width, height = header.levels[level]
    if width * height <= SAMPLE_PX:
        return [(level, (0, 0, width, height))]
    across, down, side = 4, 4, 256
    boxes: list[tuple[int, tuple[int, int, int, int]]] = []
    for i in range(across * down):
        col, row = int((i % across + 0.5) * width / across), int((i // across + 0.5) * height / down)
        w, h = min(side, width), min(side, height)
        boxes.append(
            (level, (min(max(col - w // 2, 0), width - w), min(max(row - h // 2, 0), height - h), w, h))
        )
    return boxes
