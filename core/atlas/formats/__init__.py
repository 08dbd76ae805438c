"""Layouts of embedding files, ours and others; one per module, tried from the most to the least specific.

Parquet files are described by a `Layout`, rasters and Zarr stores by `VectorGrid`s.
"""

from pathlib import Path

import pyarrow as pa

from ..errors import TableError
from . import (
    alphaearth,
    arrays,
    clay,
    clay_v1,
    copernicus_embed,
    earth_index,
    generic,
    geoemb,
    major_tom,
    own,
    patch_raster,
    planet,
    tessera,
    zarr_store,
)
from .grid import VectorGrid, quiet_rasterio
from .layout import Layout

RASTERS = (".tif", ".tiff")
ARRAYS = (".npy", ".npz")
_LAYOUTS = (own, major_tom, clay, clay_v1, planet, earth_index, generic)
_GRIDS = (patch_raster, alphaearth, tessera, copernicus_embed)


def recognise(schema: pa.Schema) -> Layout | None:
    """Return the layout of a Parquet schema, or None if it holds no vectors."""
    return next((result for layout in _LAYOUTS if (result := layout.match(schema))), None)


def open_grids(path: Path) -> list[VectorGrid]:
    """Describe the grids of vectors in a GeoTIFF, a TESSERA array or a Zarr store; empty for any other file.

    Raises TableError if the file is damaged, or of a version that this program does not read.
    """
    if zarr_store.is_store(path):
        return geoemb.open_grids(path)
    if path.suffix.lower() == ".npy":
        grid = tessera.open_npy(path)
    elif path.suffix.lower() in RASTERS:
        grid = _geotiff(path)
    else:
        grid = None
    return [] if grid is None else [grid]


def _geotiff(path: Path) -> VectorGrid | None:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with quiet_rasterio(), rasterio.open(path, driver="GTiff") as file:
            return next((grid for product in _GRIDS if (grid := product.match(file, path))), None)
    except RasterioError as error:
        raise unreadable_raster(path) from error


def unreadable_raster(path: Path) -> TableError:
    """Return the error for a raster that is damaged."""
    return TableError(
        f"{path.name} cannot be read as a raster of embeddings: copy it again, or write it again with "
        "`python -m core embed --patches`."
    )


__all__ = [
    "ARRAYS",
    "RASTERS",
    "Layout",
    "VectorGrid",
    "arrays",
    "open_grids",
    "recognise",
    "unreadable_raster",
    "zarr_store",
]
