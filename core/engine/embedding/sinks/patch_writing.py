"""Writes a patch raster as a cloud-optimised GeoTIFF and verifies it before it gets its name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....atlas.publishing.cog import qgis_style
from ....atlas.schema import Precision
from ....files import write_atomic
from ..spec import EmbeddingError
from .patch_layout import PatchLayout
from .patch_sums import ROWS_AT_ONCE, PatchSums

INT8_STEP = 127.0


class DiskFullError(EmbeddingError):
    """The disk has no room for a raster."""


@contextmanager
def require_disk_space(
    layout: PatchLayout, bands: int, data_type: Precision, scratch: Path
) -> Generator[None]:
    """Raise DiskFullError before any work if a raster will not fit, and later if the disk fills up anyway."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    folder, block, patches = scratch.parent, block_side(layout), layout.rows * layout.cols
    padded = math.prod(-(-length // block) * block for length in (layout.rows, layout.cols))
    needed = patches * (bands + 1) * 4 + 2 * padded * bands * (1 if data_type == "int8" else 4)

    def full(why: str) -> DiskFullError:
        return DiskFullError(
            f"The raster of {layout.recipe['source']} needs about {needed / 1e6:,.1f} MB in {folder.name} "
            f"while it is written, but {why}: free some space, or choose another folder."
        )

    free = shutil.disk_usage(folder).free
    if free + sum(file.stat().st_size for file in scratch.glob("*.bin")) < needed:
        raise full(f"{free / 1e6:,.1f} MB are free")
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        raise full(f"writing failed ({error})") from error


def block_side(layout: PatchLayout) -> int:
    """Choose the block size of the intermediate raster, no larger than the raster needs."""
    return min(256, -(-max(layout.rows, layout.cols) // 16) * 16)


def write_raster(sums: PatchSums, layout: PatchLayout, data_type: Precision, plain: Path, out: Path) -> None:
    """Write an intermediate raster row by row, convert it to a COG beside `out`, and rename it."""
    import warnings

    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    header, bands, block = layout.plan.grids[0].header, sums.bands, block_side(layout)
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": layout.cols, "height": layout.rows, "count": bands, "dtype": data_type,
        "nodata": -128 if data_type == "int8" else float("nan"), "tiled": True, "blockxsize": block,
        "blockysize": block, "BIGTIFF": "IF_SAFER", "interleave": "pixel",
    }  # fmt: skip
    if header.crs is not None and header.transform is not None:
        transform = Affine(*header.transform) @ Affine.scale(*layout.patch_step)
        profile |= {"crs": header.crs, "transform": transform}
    ready = out.with_name(f".{out.name}.tmp")
    predictor = "YES" if data_type == "float32" else "NO"
    cog = {"driver": "COG", "compress": "ZSTD", "predictor": predictor, "overviews": "NONE"}
    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(plain, "w", **profile) as file:
            for start in range(0, layout.rows, ROWS_AT_ONCE):
                values = _stored(sums.blended(start), data_type)
                window = ((start, start + len(values)), (0, layout.cols))
                file.write(values.transpose(2, 0, 1), window=window)
            file.update_tags(RECIPE=json.dumps(layout.recipe))
            file.descriptions = [f"e{band:03d}" for band in range(bands)]
            if data_type == "int8":
                file.scales = [1 / INT8_STEP] * bands
        try:
            rasterio.shutil.copy(plain, ready, **cog)
            _require_complete(ready, sums.known())
            ready.replace(out)
            _write_style(out)
        finally:
            plain.unlink(missing_ok=True)
            ready.unlink(missing_ok=True)


def _write_style(raster: Path) -> None:
    """Write a QGIS style beside a raster, from at most 256 x 256 of its patches."""
    import rasterio

    with rasterio.open(raster) as file:
        size = file.count, min(file.height, 256), min(file.width, 256)
        stored, nodata = file.read(out_shape=size), file.nodata
        values = stored.astype(np.float32) * np.asarray(file.scales, np.float32)[:, None, None]
    values[:, (stored == nodata).all(axis=0)] = np.nan
    write_atomic(raster.with_suffix(".qml"), qgis_style(values))


def _require_complete(raster: Path, patches: int) -> None:
    """Raise OSError if patches are missing in a raster; GDAL does not report a full disk on close."""
    import rasterio

    with rasterio.open(raster) as file:
        written = 0
        for top in range(0, file.height, 512):
            band = file.read(1, window=((top, min(top + 512, file.height)), (0, file.width)))
            written += int(np.count_nonzero(np.isfinite(band) & (band != file.nodata)))
    if written != patches:
        raise OSError(f"{written:,} of {patches:,} patches were written to the file")


def _stored(vectors: NDArray[np.float32], data_type: Precision) -> NDArray[Any]:
    """Convert vectors to the stored values: as they are, or unit vectors times 127 (-128 if missing)."""
    if data_type == "float32":
        return vectors
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.rint(vectors / length * INT8_STEP)
    return np.where(np.isfinite(scaled), scaled, -128).astype(np.int8)
