"""The part of an embedding raster that is written: its vectors in memory, and where they are."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geo.tile import Affine6
from ..errors import TableError
from ..formats import VectorGrid, open_grids
from ..formats.grid import quiet_rasterio
from ..store.grid_rows import Bounds, windows

MODEL_PAGES = {
    "alphaearth-v1": "https://developers.google.com/earth-engine/datasets/catalog/"
    "GOOGLE_SATELLITE_EMBEDDING_V1_ANNUAL",
    "tessera": "https://github.com/ucam-eo/tessera",
    "copernicus-fm": "https://github.com/zhu-xlab/Copernicus-FM",
}


@dataclass(frozen=True, eq=False)
class VectorWindow:
    """Vectors (r, c, d) float32, NaN where a pixel has none, with the grid that they come from.

    `transform` leads from (column, row) of the window to the CRS.
    """

    vectors: NDArray[np.float32]
    crs: str | None
    transform: Affine6 | None
    grid: VectorGrid

    @property
    def recipe(self) -> dict[str, Any]:
        """The columns that hold for all rows, as plain values, with the product."""
        known = {name: value for name, value in self.grid.constants.items() if value is not None}
        if isinstance(time := known.get("timestamp"), datetime.datetime):
            known["timestamp"] = time.isoformat()
        return {"product": self.grid.product, **known, "model": str(known.get("model", "unknown"))}

    @property
    def model_address(self) -> str:
        """Where the model is described: its page, else a name that is an address in form."""
        model = self.recipe["model"]
        page = next((page for name, page in MODEL_PAGES.items() if model.startswith(name)), None)
        return page or (model if "://" in model else f"urn:model:{model}")


def read_window(path: Path, bounds: Bounds | None = None) -> VectorWindow:
    """Read every pixel of a raster product, or those within `bounds` (west, south, east, north in degrees).

    Raises TableError for another kind of file, several grids in one store, and more than fits in memory.
    """
    grids = open_grids(path)
    if not grids:
        raise TableError(f"{path.name} is not an embedding raster: write a table as .parquet instead.")
    parts = windows(grids, bounds)
    if len(parts) > 1:
        raise TableError(
            f"{path.name} holds {len(parts)} grids there ({', '.join(p.grid.name for p in parts[:4])}): "
            "choose an area within one of them."
        )
    part = parts[0]
    if part.rows.step > 1:
        raise TableError(f"{path.name} is too large to be written as a whole: choose an area with --bounds.")
    with quiet_rasterio():
        vectors = part.grid.read(
            slice(part.rows.start, part.rows.stop), slice(part.cols.start, part.cols.stop)
        )
    transform = part.grid.transform
    if transform is not None:
        a, b, c, d, e, f = transform
        left, top = part.cols.start, part.rows.start
        transform = (a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    return VectorWindow(vectors, part.grid.crs, transform, part.grid)
