"""Patch rasters (`python -m core embed --patches`) as rows of a table, so that patches can be searched."""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...geo import ground
from ..errors import TableError
from ..schema import make_rows
from .integrity import require_bounded

SUFFIXES = (".tif", ".tiff")
ENDING = ".patches.tif"
POOLING = "patch"
MAX_VALUES = 2**28
"""A gigabyte of float32; larger rasters have to be cut."""

READ_COPIES = 3
"""Copies of the values of a raster in memory while it is read."""


def patch_rows(path: Path) -> pa.Table:
    """Make a row of every patch that has a vector, with its centre and the recipe of the raster.

    The `unique_id` is the name of the raster with row and column. Raises TableError for a raster that holds
    no patch embeddings, cannot be read, has more than MAX_VALUES values, or unpacks to far more than its size
    on disk explains.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with _quiet(), rasterio.open(path, driver="GTiff") as file:
            recipe = _recipe(path.name, file.tags().get("RECIPE", ""))
            if file.count * file.height * file.width > MAX_VALUES:
                raise TableError(
                    f"{path.name} holds {file.height * file.width:,} patches, too many to read at once: "
                    "cut it with `gdal_translate -srcwin`."
                )
            require_bounded(
                path.name, READ_COPIES * 4 * file.count * file.height * file.width, path.stat().st_size
            )
            vectors = file.read(out_dtype="float32").reshape(file.count, -1).T
            nodata = np.nan if file.nodata is None else file.nodata
            has_vector = np.isfinite(vectors).all(axis=1) & ~(vectors == nodata).all(axis=1)
            vectors *= np.asarray(file.scales, np.float32)
            rows, cols = (index.reshape(-1)[has_vector] for index in np.mgrid[: file.height, : file.width])
            crs, transform = file.crs.to_wkt() if file.crs else None, tuple(file.transform)[:6]
    except RasterioError as error:
        raise _unreadable(path) from error
    name = path.stem.removesuffix(".patches")
    columns: dict[str, Any] = {
        "unique_id": [f"{name}-r{row}-c{col}" for row, col in zip(rows, cols, strict=True)]
    }
    if crs is not None:
        columns["centre_lon"], columns["centre_lat"] = _centres(crs, transform, cols, rows)
    constants = {
        "product_id": recipe.get("source"), "crs": crs, "gsd_m": recipe.get("gsd_m"),
        "image_size": recipe.get("tile_px"), "pooling": POOLING, "input_res_m": recipe.get("input_res_m"),
        "res_policy": recipe.get("policy"), "model": recipe["model"],
        "checkpoint_sha256": recipe.get("weights_sha256"),
    }  # fmt: skip
    columns |= {name: [value] * len(rows) for name, value in constants.items()}
    return make_rows(vectors[has_vector], columns)


def require_readable(paths: Sequence[Path]) -> None:
    """Raise TableError if rasters hold more than MAX_VALUES values together, or one cannot be opened."""
    import rasterio
    from rasterio.errors import RasterioError

    total = 0
    for path in paths:
        try:
            with _quiet(), rasterio.open(path, driver="GTiff") as file:
                total += file.count * file.height * file.width
        except RasterioError as error:
            raise _unreadable(path) from error
    if total > MAX_VALUES:
        raise TableError(
            f"The {len(paths):,} rasters of {paths[0].parent.name} hold too many patches to read at once: "
            "name some of them instead."
        )


@contextmanager
def _quiet() -> Generator[None]:
    """Ignore the warning that a raster is not georeferenced."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        yield


def _unreadable(path: Path) -> TableError:
    return TableError(
        f"{path.name} cannot be read as a raster of patch embeddings: "
        "write it again with `python -m core embed --patches`."
    )


def _centres(
    crs: str, transform: Any, cols: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitudes in -180..180 and latitudes of the centres of patches; NaN outside the CRS."""
    centres = (index.astype(np.float64) + 0.5 for index in (cols, rows))
    lon, lat = ground.to_lonlat(crs, transform, *centres)
    known = np.isfinite(lon) & np.isfinite(lat)
    wrapped = np.where(known & (np.abs(lon) > 180), np.mod(np.where(known, lon, 0) + 180, 360) - 180, lon)
    return np.where(known, wrapped, np.nan), np.where(known, lat, np.nan)


def _recipe(name: str, text: str) -> dict[str, Any]:
    """Parse the recipe that `embed --patches` wrote into a raster."""
    try:
        recipe = json.loads(text)
        recipe["model"] = str(recipe["model"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TableError(
            f"{name} does not hold patch embeddings: to make such a raster of a picture, use "
            f"`python -m core embed {name} --patches --out rasters`."
        ) from error
    return recipe
