"""Vectors on a regular grid, such as the pixels of an embedding raster: how raster products are read."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geo.tile import Affine6

Floats = NDArray[np.float32]
Decode = Callable[[NDArray[Any]], Floats]
"""From stored values (d, r, c) to vectors (d, r, c), NaN where a pixel has none."""

BLOCK_CACHE_MB = 512
"""GDAL's cache while a raster is read: a row of blocks of an AlphaEarth file takes 268 MB."""


@dataclass(frozen=True, eq=False)
class VectorGrid:
    """A grid of `rows` x `cols` vectors of `dim` values, in a file that is read on demand.

    `read(rows, cols)` takes slices with steps and returns (r, c, d) float32, NaN where a pixel has no vector.
    `transform` leads from (column, row) to the CRS, (0, 0) being the outer corner of the first pixel; None,
    like `crs`, if the place is unknown. `name` begins the identity of every row. `constants` are columns of
    the schema with one value for all rows. `notes` are sentences for the user.
    """

    product: str
    name: str
    rows: int
    cols: int
    dim: int
    read: Callable[[slice, slice], Floats]
    crs: str | None = None
    transform: Affine6 | None = None
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    file_bytes: int | None = None
    """Size of a file whose content must explain its decoded size; None if nothing can be concluded."""

    @property
    def values(self) -> int:
        """The number of values in all vectors."""
        return self.rows * self.cols * self.dim


def geotiff_grid(
    file: Any,
    path: Path,
    product: str,
    decode: Decode | None = None,
    *,
    name: str = "",
    constants: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> VectorGrid:
    """Describe an open rasterio file as a grid: every band is a value of the vector.

    Without `decode`, values are scaled by the scales of the bands, and pixels of the nodata value have no
    vector. South-up (bottom-up) rasters need nothing special, because the transform says so.
    """
    nodata, scales = file.nodata, np.asarray(file.scales, np.float32)
    decode = decode or (lambda stored: scaled(stored, nodata, scales))
    crs = file.crs.to_wkt() if file.crs and not file.transform.is_identity else None
    if crs is None:
        notes = (
            *notes,
            f"{path.name} does not state its CRS, so its rows have no place: set it with gdal_edit.",
        )
    return VectorGrid(
        product, name or path.stem, file.height, file.width, file.count,
        lambda rows, cols: _read_geotiff(path, decode, rows, cols),
        crs=crs,
        transform=tuple(file.transform)[:6] if crs else None,
        constants={"product_id": path.name, "source": product, **(constants or {})},
        notes=notes,
        file_bytes=path.stat().st_size,
    )  # fmt: skip


def moment(value: Any) -> datetime.datetime | None:
    """Return the time that a file states as ISO 8601; None for anything else."""
    try:
        found = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def scaled(stored: NDArray[Any], nodata: float | None, scales: Floats | None = None) -> Floats:
    """Scale stored values (d, r, c) per band; NaN where all bands hold nodata, or one is not finite."""
    vectors = stored.astype(np.float32)
    missing = ~np.isfinite(vectors).all(axis=0)
    if nodata is not None and np.isfinite(nodata):
        missing |= (vectors == np.float32(nodata)).all(axis=0)
    if scales is not None:
        vectors *= scales[:, None, None]
    vectors[:, missing] = np.nan
    return vectors


@contextmanager
def quiet_rasterio() -> Generator[None]:
    """Open rasters without a warning that one is not georeferenced; the cache holds a row of blocks."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE_MB),
    ):
        yield


def _read_geotiff(path: Path, decode: Decode, rows: slice, cols: slice) -> Floats:
    """Read whole rows of pixels where consecutive ones are requested, else one row at a time."""
    import rasterio
    from rasterio.windows import Window

    lines, (left, right, across) = range(rows.start, rows.stop, rows.step or 1), _ends(cols)
    deep = len(lines) if lines.step == 1 else 1
    pieces: list[Floats] = []
    with quiet_rasterio(), rasterio.open(path, driver="GTiff") as file:
        for first in range(0, len(lines), deep):
            size = right - left, min(deep, len(lines) - first)
            window = Window(left, lines[first], *size)  # pyright: ignore[reportCallIssue]
            pieces.append(decode(file.read(window=window)[:, :, ::across]).transpose(1, 2, 0))
    return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]


def _ends(piece: slice) -> tuple[int, int, int]:
    return piece.start, piece.stop, piece.step or 1
