"""Copernicus-Embed-025deg: one GeoTIFF of the Earth, 721 x 1440 pixels of 0.25 degrees with 768 bands.

Source: github.com/zhu-xlab/Copernicus-FM, Copernicus-Embed-025deg; torchgeo's GeoTIFF of it. Cells without
images (ocean) hold zeros. A window of it is recognised too.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np

from .grid import VectorGrid, geotiff_grid, scaled

PRODUCT = "Copernicus-Embed"
MODEL = "copernicus-fm"
BANDS, DEGREES = 768, 0.25
YEAR = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)


def match(file: Any, path: Path) -> VectorGrid | None:
    """Recognise the product by its bands and pixels."""
    step = abs(file.transform.a), abs(file.transform.e)
    if file.count != BANDS or not all(math.isclose(side, DEGREES, rel_tol=1e-6) for side in step):
        return None

    def decode(stored: Any) -> Any:
        vectors = scaled(stored, file_nodata)
        vectors[:, (stored == 0).all(axis=0)] = np.nan
        return vectors

    file_nodata = file.nodata
    return geotiff_grid(file, path, PRODUCT, decode, constants={"model": MODEL, "timestamp": YEAR})
