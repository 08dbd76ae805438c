"""Helpers for tests of embedding runs: synthetic rasters, a complete run, the bytes of a table."""

import hashlib
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from core.engine.embedding.run import embed_sources

MODEL, SIDE = "mae_tiny", 32
UTM = from_origin(500_000, 4_600_000, 10, 10)


def write(path, pixels, transform=UTM, crs="EPSG:32633", driver="GTiff", **options):
    with rasterio.open(
        path, "w", driver=driver, width=pixels.shape[2], height=pixels.shape[1], count=len(pixels),
        dtype=pixels.dtype, crs=crs,
        **({"transform": transform} if transform else {}), **options,
    ) as file:  # fmt: skip
        file.write(pixels)
    return str(path)


def picture(height=200, width=260, bands=3, dtype="uint8", seed=0):
    generator = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width] / 23
    waves = [
        np.sin(rows + band) * np.cos(cols * (1 + band / 3)) * 90
        + 128
        + generator.normal(0, 8, (height, width))
        for band in range(bands)
    ]
    stretch = 20 if dtype != "uint8" else 1
    return (np.stack(waves).clip(1, 255) * stretch).astype(dtype)


def finish(spec, **more):
    steps = list(embed_sources(spec, **more))
    assert steps[-1].finished
    return steps


def table_bytes(folder):
    names = ("_manifest.json", "_plan.json")
    files = sorted(f for f in Path(folder).iterdir() if f.suffix == ".parquet" or f.name in names)
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
