"""Writing a raster of patch embeddings as a cloud-optimised GeoTIFF, checked before it takes its name; a full disk becomes an error."""

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

from ..spec import EmbeddingError
from .patch_layout import PatchLayout, Precision
from .patch_sums import ROWS_AT_ONCE, Sums

INT8_STEP = 127.0


class DiskFullError(EmbeddingError):
    """The disk has no room for a raster."""


@contextmanager
def room_for(lay: PatchLayout, bands: int, kind: Precision, key: str, scratch: Path) -> Generator[None]:
    """Raise DiskFullError before any work if a raster will not fit, and later if the disk fills up anyway."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    folder, block, patches = scratch.parent, block_side(lay), lay.rows * lay.cols
    padded = math.prod(-(-length // block) * block for length in (lay.rows, lay.cols))
    needed = patches * (bands + 1) * 4 + 2 * padded * bands * (1 if kind == "int8" else 4)
    sentence = f"The raster of {key} needs about {needed / 1e6:,.1f} MB in {folder.name} while it is written, but {{}}: free some space, or choose another folder."
    free = shutil.disk_usage(folder).free
    if free + sum(file.stat().st_size for file in scratch.glob("*.bin")) < needed:
        raise DiskFullError(sentence.format(f"{free / 1e6:,.1f} MB are free"))
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        raise DiskFullError(sentence.format(f"writing failed ({error})")) from error


def block_side(lay: PatchLayout) -> int:
    """Choose the block size of the intermediate raster, no larger than the raster needs."""
    return min(256, -(-max(lay.rows, lay.cols) // 16) * 16)


def write_raster(
    sums: Sums, lay: PatchLayout, kind: Precision, recipe: dict[str, Any], plain: Path, out: Path
) -> None:
    """Write an intermediate raster row by row, convert it to a COG beside `out`, and rename it."""
    import warnings

    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    header, bands = lay.plan.grids[0].header, sums.bands
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": lay.cols, "height": lay.rows, "count": bands, "dtype": kind, "nodata": -128 if kind == "int8" else float("nan"),
        "tiled": True, "blockxsize": block_side(lay), "blockysize": block_side(lay), "BIGTIFF": "IF_SAFER", "interleave": "pixel",
    }  # fmt: skip
    if header.crs is not None and header.transform is not None:
        across, down = lay.step[0] * lay.patch_px, lay.step[1] * lay.patch_px
        profile |= {"crs": header.crs, "transform": Affine(*header.transform) @ Affine.scale(across, down)}
    ready = out.with_name(f".{out.name}.tmp")
    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(plain, "w", **profile) as file:
            for start in range(0, lay.rows, ROWS_AT_ONCE):
                values = _kept(sums.blended(start), kind)
                file.write(values.transpose(2, 0, 1), window=((start, start + len(values)), (0, lay.cols)))
            file.update_tags(RECIPE=json.dumps(recipe))
            file.descriptions = [f"e{band:03d}" for band in range(bands)]
            if kind == "int8":
                file.scales = [1 / INT8_STEP] * bands
        try:
            rasterio.shutil.copy(
                plain,
                ready,
                driver="COG",
                compress="ZSTD",
                predictor="YES" if kind == "float32" else "NO",
                overviews="NONE",
            )
            _require_whole(ready, sums.known())
            ready.replace(out)
        finally:
            plain.unlink(missing_ok=True)
            ready.unlink(missing_ok=True)


def _require_whole(raster: Path, patches: int) -> None:
    """Read a raster back and raise OSError if patches are missing; GDAL does not report a full disk on close."""
    import rasterio

    with rasterio.open(raster) as file:
        rows = (
            file.read(1, window=((at, min(at + 512, file.height)), (0, file.width)))
            for at in range(0, file.height, 512)
        )
        found = sum(int(np.count_nonzero(np.isfinite(part) & (part != file.nodata))) for part in rows)
    if found != patches:
        raise OSError(f"{found:,} of {patches:,} patches were written to the file")


def _kept(vectors: NDArray[np.float32], kind: Precision) -> NDArray[Any]:
    """Convert vectors to the values that are stored."""
    if kind == "float32":
        return vectors
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.rint(vectors / length * INT8_STEP)
    return np.where(np.isfinite(scaled), scaled, -128).astype(np.int8)
