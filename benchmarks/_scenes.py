"""Write rasters for benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDE = 224
KINDS: dict[str, dict[str, Any]] = {
    "int16 deflate": {
        "dtype": "int16",
        "driver": "COG",
        "compress": "deflate",
        "blocksize": 512,
        "num_threads": "all_cpus",
    },
    "int16 zstd": {
        "dtype": "int16",
        "driver": "COG",
        "compress": "zstd",
        "blocksize": 512,
        "num_threads": "all_cpus",
    },
    "uint8 striped": {"dtype": "uint8", "driver": "GTiff", "tiled": False},
    "uint8 JPEG": {"dtype": "uint8", "driver": "COG", "compress": "jpeg", "blocksize": 512},
}


def write_scene(path: Path, kind: dict[str, Any], tiles: int) -> None:
    """Write a scene with the texture of the bundled Landsat sample, mirrored to enough tiles of 224 px."""
    import localtileserver
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(Path(localtileserver.__file__).parent / "tiler" / "data" / "landsat.tif") as file:
        sample = file.read((5, 4, 3))[:, :1400, :1400] if file.count >= 5 else file.read((1, 2, 3))
    across = max(1, int(np.ceil(np.sqrt(tiles))))
    down = -(-tiles // across)
    pad = ((0, 0), (0, max(0, down * SIDE - sample.shape[1])), (0, max(0, across * SIDE - sample.shape[2])))
    pixels = np.pad(sample, pad, mode="reflect")[:, : down * SIDE, : across * SIDE]
    noise = np.random.default_rng(0).integers(-3, 4, pixels.shape)
    pixels = (pixels.astype(np.int32) + noise).clip(1, 255)
    options = dict(kind)
    dtype = options.pop("dtype")
    values = (pixels * (37 if dtype == "int16" else 1)).astype(dtype)
    with rasterio.open(
        path, "w", width=values.shape[2], height=values.shape[1], count=3, dtype=dtype, crs="EPSG:32612",
        transform=from_origin(4e5, 4.5e6, 10, 10), **options,
    ) as file:  # fmt: skip
        file.write(values)


def write_sparse(path: Path, side: int) -> None:
    """Write a square raster of 1 m pixels with data in one row of blocks, at most 40,000 px of it.

    That is more tiles than a shard takes. The other blocks are absent from the file.
    """
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32612",
        transform=from_origin(4e5, 4.5e6, 1, 1), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", sparse_ok=True, bigtiff="yes",
    ) as file:  # fmt: skip
        stripe = np.random.default_rng(0).integers(1, 255, (3, 512, min(side, 40_000)), dtype=np.uint8)
        file.write(stripe, window=((512, 1024), (0, stripe.shape[2])))
