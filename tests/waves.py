"""A synthetic raster for tests that embed: smooth waves in three bands, 10 m per pixel."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin


def waves(rows: int, cols: int, period: float = 17.0) -> NDArray[np.uint8]:
    """Three bands (3, rows, cols), whose waves are `period` pixels per radian long."""
    y, x = np.mgrid[:rows, :cols] / period
    return np.stack([np.sin(y) * np.cos(x * k) * 100 + 128 for k in (1, 1.3, 1.7)]).astype("uint8")


def write_raster(path: Path, pixels: NDArray[np.uint8], crs: str = "EPSG:32610", north: float = 4e6) -> Path:
    """Write pixels (bands, rows, cols) as a GeoTIFF of 10 m per pixel, and return its path."""
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype="uint8", crs=crs,
        transform=from_origin(5e5, north, 10, 10),
    ) as file:  # fmt: skip
        file.write(pixels)
    return path
