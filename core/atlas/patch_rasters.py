"""A raster of patch embeddings (`python -m core embed --patches`) read as rows, so that patches are found as tiles are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.atlas.errors import TableError
from core.atlas.schema import make_rows
from core.geo import ground

SUFFIXES = (".tif", ".tiff")
MAX_VALUES = 2**28
"""A gigabyte of float32; the raster of a larger picture is read in parts."""


def patch_rows(path: Path) -> pa.Table:
    """Make a row of every patch that has a vector: where its centre lies (WGS84), row and column of the raster as its identity, recipe as written.

    Raises TableError for a raster that holds no patch embeddings, cannot be read, or has more than MAX_VALUES values.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path, driver="GTiff") as file:
            recipe = _recipe(path.name, file.tags().get("RECIPE", ""))
            if file.count * file.height * file.width > MAX_VALUES:
                raise TableError(
                    f"{path.name} holds {file.height * file.width:,} patches, too many to read at once: cut it with `gdal_translate -srcwin`."
                )
            vectors = file.read(out_dtype="float32").reshape(file.count, -1).T
            there = np.isfinite(vectors).all(axis=1) & ~(vectors == (file.nodata if file.nodata is not None else np.nan)).all(axis=1)
            vectors *= np.asarray(file.scales, np.float32)
            rows, cols = (at.reshape(-1)[there] for at in np.mgrid[: file.height, : file.width])
            crs, transform = file.crs.to_wkt() if file.crs else None, tuple(file.transform)[:6]
    except RasterioError as error:
        raise TableError(
            f"{path.name} cannot be read as a raster of patch embeddings: write it again with `python -m core embed --patches`."
        ) from error
    columns: dict[str, Any] = {"unique_id": [f"{path.name.split('.')[0]}-r{row}-c{col}" for row, col in zip(rows, cols, strict=True)]}
    if crs is not None:
        columns["centre_lon"], columns["centre_lat"] = ground.to_lonlat(crs, transform, cols + 0.5, rows + 0.5)
    same = {
        "product_id": recipe.get("source"), "crs": crs, "gsd_m": recipe.get("gsd_m"), "image_size": recipe.get("tile_px"), "pooling": "patch",
        "input_res_m": recipe.get("input_res_m"), "res_policy": recipe.get("policy"), "model": recipe["model"],
        "checkpoint_sha256": recipe.get("weights_sha256"),
    }  # fmt: skip
    return make_rows(vectors[there], columns | {name: [value] * len(rows) for name, value in same.items()})


def _recipe(name: str, text: str) -> dict[str, Any]:
    """Understand what `embed --patches` wrote into a raster."""
    try:
        recipe = json.loads(text)
        recipe["model"] = str(recipe["model"])
    except (ValueError, TypeError, KeyError) as error:
        raise TableError(
            f"{name} does not hold patch embeddings: to make such a raster of a picture, `python -m core embed {name} --patches --out rasters`."
        ) from error
    return recipe
