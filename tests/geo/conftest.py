"""Synthetic rasters for edge cases, and the catalogue of real imagery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from core.geo import Catalogue, known_sources

MakeTif = Callable[..., Path]


@pytest.fixture
def make_tif(tmp_path: Path) -> MakeTif:
    """Write (c, h, w) values as a GeoTIFF, 10 m pixels of UTM 31N at 52 N unless told otherwise."""

    def make(pixels: np.ndarray, name: str = "raster.tif", **options: Any) -> Path:
        count, height, width = pixels.shape
        options = {"crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 5_760_000)} | options
        mask, descriptions = options.pop("mask", None), options.pop("descriptions", None)
        overviews = options.pop("overviews", None)
        path = tmp_path / name
        profile = {
            "driver": "GTiff",
            "count": count,
            "height": height,
            "width": width,
            "dtype": pixels.dtype,
        } | options
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(pixels)
            if descriptions:
                dataset.descriptions = descriptions
            if mask is not None:
                with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                    dataset.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(overviews, rasterio.enums.Resampling.average)
        return path

    return make


@pytest.fixture
def noise() -> np.ndarray:
    """Three bands of 8-bit noise, 60 x 40."""
    return np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """All sources that this machine has."""
    return known_sources()
