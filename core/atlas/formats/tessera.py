"""TESSERA tiles as geotessera writes them: GeoTIFF, or int8 NPY with scales and a landmask beside it.

Source: docs/architecture.rst of github.com/ucam-eo/geotessera. Its Zarr stores follow `geoemb:`.
"""

from __future__ import annotations

import datetime
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...geo.tile import Affine6
from ..errors import TableError
from .arrays import header
from .grid import Floats, VectorGrid, geotiff_grid, quiet_rasterio

PRODUCT = "TESSERA"
PIXEL_M, HALF_TILE_DEGREES = 10.0, 0.05
TILE = re.compile(r"grid_(-?\d+\.\d+)_(-?\d+\.\d+)(?:_(\d{4}))?")
LANDMASKS = "global_0.1_degree_tiff_all"


def match(file: Any, path: Path) -> VectorGrid | None:
    """Recognise a GeoTIFF by geotessera's tags, or by the names of its bands."""
    tags = file.tags()
    names = tuple(name or "" for name in file.descriptions)
    if "TESSERA_DATASET_VERSION" not in tags and not all(name.startswith("Tessera_Band_") for name in names):
        return None
    name = TILE.fullmatch(path.stem)
    year = tags.get("TESSERA_YEAR") or (name and name[3])
    return geotiff_grid(
        file, path, PRODUCT, constants=_constants(tags.get("TESSERA_DATASET_VERSION", ""), year)
    )


def open_npy(path: Path) -> VectorGrid | None:
    """Open a tile of int8 values with its scales; None for another array. Raises TableError if one lacks."""
    tile = TILE.fullmatch(path.stem)
    if tile is None:
        return None
    shape, kind = header(path)
    scales = path.with_name(f"{path.stem}_scales.npy")
    if len(shape) != 3:
        return None
    if kind == np.int8 and not scales.is_file():
        raise TableError(
            f"{path.name} holds int8 values, but {scales.name} with their scales is not beside it: "
            "download both."
        )
    with_scales = scales if kind == np.int8 else None
    if with_scales is not None and header(with_scales)[0][:2] != shape[:2]:
        raise TableError(f"{scales.name} has other rows and columns than {path.name}: download both again.")
    crs, transform = _place(path, float(tile[1]), float(tile[2]), shape[:2])
    notes = (
        () if crs else (f"The place of {path.name} is unknown: put its landmask {path.stem}.tiff beside it.",)
    )
    year = tile[3] or next((part for part in path.parts[::-1] if re.fullmatch(r"20\d\d", part)), None)
    return VectorGrid(
        PRODUCT, path.stem, *shape,
        lambda rows, cols: _read_npy(path, with_scales, rows, cols),
        crs=crs, transform=transform, notes=notes,
        constants={"product_id": path.name, **_constants("", year)},
    )  # fmt: skip


def _constants(version: str, year: str | None) -> dict[str, Any]:
    constants: dict[str, Any] = {"source": PRODUCT, "model": f"tessera-{version}" if version else "tessera"}
    if year and re.fullmatch(r"\d{4}", year) and int(year):
        constants["timestamp"] = datetime.datetime(int(year), 1, 1, tzinfo=datetime.UTC)
    return constants


def _read_npy(path: Path, scales: Path | None, rows: slice, cols: slice) -> Floats:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)[rows, cols].astype(np.float32)
    if scales is not None:
        scale = np.load(scales, mmap_mode="r", allow_pickle=False)[rows, cols].astype(np.float32)
        with np.errstate(invalid="ignore"):
            vectors *= scale if scale.ndim == 3 else scale[..., None]
    vectors[~np.isfinite(vectors).all(axis=-1)] = np.nan
    return vectors


def _place(path: Path, lon: float, lat: float, size: tuple[int, ...]) -> tuple[str | None, Affine6 | None]:
    """Return CRS and transform from the landmask, else from the grid: the UTM box of a 0.1 degree tile."""
    import rasterio

    for folder in (path.parent, *(parent / LANDMASKS for parent in path.parents[:5])):
        landmask = folder / f"grid_{lon:.2f}_{lat:.2f}.tiff"
        if landmask.is_file():
            with quiet_rasterio(), rasterio.open(landmask, driver="GTiff") as file:
                if file.crs and file.shape == tuple(size):
                    return file.crs.to_wkt(), tuple(file.transform)[:6]
    return _utm_box(lon, lat, size)


def _utm_box(lon: float, lat: float, size: tuple[int, ...]) -> tuple[str | None, Affine6 | None]:
    import pyproj

    zone = min(max(math.floor((lon + 180) / 6) + 1, 1), 60)
    crs = f"EPSG:{(32700 if lat < 0 else 32600) + zone}"
    west, east = lon - HALF_TILE_DEGREES, lon + HALF_TILE_DEGREES
    south, north = lat - HALF_TILE_DEGREES, lat + HALF_TILE_DEGREES
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_utm.transform([west, east, west, east], [north, north, south, south])
    left, top = min(x[0], x[2]), max(y[0], y[1])
    expected = round((top - min(y[2], y[3])) / PIXEL_M), round((max(x[1], x[3]) - left) / PIXEL_M)
    if expected != tuple(size):
        return None, None
    return crs, (PIXEL_M, 0.0, left, 0.0, -PIXEL_M, top)
