"""Helpers for tests of embedding runs: synthetic rasters, a complete run, the bytes of a table."""

import hashlib
import os
import platform
import signal
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from core.engine.embedding.batches import PendingBatches
from core.engine.embedding.run import embed_share, embed_sources, lead

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


def run_leader(spec, workers):
    """Lead a run in a separate process."""
    assert list(lead(spec, [spec.model], workers))[-1].finished


def run_worker(spec, share, killed_in=None):
    """Embed a share in a separate process, which is killed while it writes its `killed_in`-th batch."""
    calls = []
    save = PendingBatches.save

    def save_or_die(self, index, arrays, made_with):
        calls.append(index)
        if len(calls) == killed_in:
            part = self.path / f".{index:08d}.{platform.node()}.{os.getpid()}.part"
            part.write_bytes(b"torn")
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, index, arrays, made_with)

    PendingBatches.save = save_or_die
    assert list(embed_share(spec, [spec.model], share, wait_s=300))[-1].finished
