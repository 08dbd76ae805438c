"""AlphaEarth Foundations Satellite Embedding: 64 bands A00..A63 at 10 m, int8, -128 where masked.

Source: developers.google.com/earth-engine/guides/aef_on_gcs_readme. Exports of Earth Engine hold the same
bands as floating-point numbers.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TableError
from .grid import Floats, VectorGrid, geotiff_grid

PRODUCT = "AlphaEarth Foundations"
MODEL = "alphaearth-v1"
BANDS, MASKED = 64, -128


def dequantised(stored: NDArray[np.int8]) -> Floats:
    """Return the values of int8 ones, (v / 127.5)^2 with the sign of v; NaN where masked."""
    return _VALUES[stored.view(np.uint8)]


def _values() -> Floats:
    """Return the value of every byte, rounded once."""
    whole = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float64)
    values = np.square(whole / 127.5) * np.sign(whole)
    return np.where(whole == MASKED, np.nan, values).astype(np.float32)


_VALUES = _values()


def match(file: Any, path: Path) -> VectorGrid | None:
    """Recognise the product by the names of its bands. Raises TableError for another version of it."""
    names = tuple(name or "" for name in file.descriptions)
    if not all(re.fullmatch(rf"A{band:02d}", name) for band, name in enumerate(names)):
        return None
    kind = file.dtypes[0]
    if file.count != BANDS or kind not in ("int8", "float32", "float64"):
        raise TableError(
            f"{path.name} looks like AlphaEarth Foundations, but has {file.count} bands of {kind}: "
            f"this program reads version 1, {BANDS} bands of int8 (or floating point from Earth Engine)."
        )
    year = re.search(r"(?:^|/)(20\d\d)/\d{1,2}[NS]$", path.parent.as_posix())
    constants: dict[str, Any] = {"model": MODEL}
    if year:
        constants["timestamp"] = datetime.datetime(int(year[1]), 1, 1, tzinfo=datetime.UTC)
    return geotiff_grid(file, path, PRODUCT, dequantised if kind == "int8" else None, constants=constants)
