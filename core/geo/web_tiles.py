"""Rasters as web map tiles (Web Mercator, 256 px), drawn with rio-tiler, from overviews if there are any."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .picture import ArrayPicture, Picture
from .sources.base import Source
from .sources.raster import GeoTiff, palette_of
from .stretch import eye_limits
from .tile import GeoError, Tile, TileSpec

TILE_PX = 256
LOOK_PX = 512
MERCATOR_LAT = 85.0511

RGBA = NDArray[np.uint8]
Bounds = tuple[float, float, float, float]


class WebTiles:
    """Draws one georeferenced raster as map tiles, with one contrast stretch. Safe to share between threads.

    Raises GeoError for a raster without georeference.
    """

    def __init__(self, source: Source, key: str) -> None:
        picture, entry = source.opened(key), source.entry(key)
        header = picture.header
        if header.crs is None or header.transform is None:
            raise GeoError(
                f"'{entry.title or key}' has no georeference, so it cannot be shown on a map: "
                "use a GeoTIFF with a coordinate reference system."
            )
        look = _look(source, key)
        self._rgb, self._limits = look.rgb, eye_limits(look)
        self._raster = (
            picture if isinstance(picture, GeoTiff) else GeoTiff(_geotiff(picture), entry.title or key)
        )
        self.title, self.credit = entry.title or key, look.credit

    @cached_property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees, clipped to Web Mercator."""
        west, south, east, north = self._raster.run(geographic_bounds)
        return max(west, -180.0), max(south, -MERCATOR_LAT), min(east, 180.0), min(north, MERCATOR_LAT)

    @cached_property
    def finest(self) -> int:
        """The zoom at which a tile has the resolution of the raster."""
        return int(self._raster.run(finest_zoom))

    def draw(self, z: int, x: int, y: int) -> RGBA | None:
        """Draw one tile (256, 256, 4); None outside the raster."""
        tile = self._raster.run(map_tile, list(self._rgb), [list(limits) for limits in self._limits], z, x, y)
        return None if tile is None else np.asarray(tile)


def geographic_bounds(raster: GeoTiff) -> list[float]:
    """Return west, south, east, north of a raster in degrees."""
    with _reader(raster) as reader:
        return [float(side) for side in reader.get_geographic_bounds("EPSG:4326")]


def finest_zoom(raster: GeoTiff) -> int:
    """Return the zoom at which a map has the resolution of a raster."""
    with _reader(raster) as reader:
        return int(reader.maxzoom)


def map_tile(
    raster: GeoTiff, rgb: Sequence[int], all_limits: Sequence[Sequence[float]], z: int, x: int, y: int
) -> RGBA | None:
    """Draw one map tile (256, 256, 4) of the bands `rgb`, each stretched between its limits.

    Returns None outside the raster.
    """
    from rio_tiler.errors import RioTilerError

    with _reader(raster) as reader:
        if not 0 <= z <= 30 or not reader.tile_exists(x, y, z):
            return None
        try:
            palette = palette_of(reader.dataset)
            indexes = [1] if palette is not None else [_index(reader.dataset, band) for band in rgb]
            image = reader.tile(
                x,
                y,
                z,
                tilesize=TILE_PX,
                indexes=indexes,
                resampling_method="nearest" if palette is not None else "bilinear",
            )
        except RioTilerError:
            return None
    valid = np.asarray(image.mask > 0)
    if not valid.any():
        return None
    tile = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
    if palette is not None:
        tile[...] = palette[np.asarray(image.data[0])]
    else:
        for place, (low, high) in enumerate(all_limits):
            tile[..., place] = (
                np.clip((image.data[place].astype(np.float32) - low) / (high - low), 0, 1) * 255
            )
        tile[..., 3] = 255
    tile[~valid] = 0
    return tile


@contextmanager
def _reader(raster: GeoTiff) -> Generator[Any]:
    from rio_tiler.io import Reader

    opened: Any = Reader  # its generated constructor is unknown to type checkers
    with raster.dataset() as dataset, opened(None, dataset=dataset) as reader:
        yield reader


def _index(dataset: Any, band: int) -> int:
    """Return the 1-based index of a band, not counting alpha."""
    return [i + 1 for i, kind in enumerate(dataset.colorinterp) if kind.name != "alpha"][band]


def _look(source: Source, key: str) -> Tile:
    """Read the whole raster at low resolution, or its centre if that would read too much."""
    header = source.header(key)
    try:
        return source.read(
            TileSpec(source.ref(key), window=(0, 0, header.width, header.height), size_px=LOOK_PX)
        )
    except GeoError:
        return source.read(TileSpec(source.ref(key), window=None, size_px=LOOK_PX))


def _geotiff(picture: Picture) -> bytes:
    """Write a decoded picture as a GeoTIFF with overviews, in memory."""
    import rasterio
    from rasterio.transform import Affine

    assert isinstance(picture, ArrayPicture)
    header, pixels = picture.header, picture.pixels
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=header.width,
            height=header.height,
            count=len(pixels),
            dtype=pixels.dtype.name,
            crs=header.crs,
            transform=Affine(*header.transform or ()),
            tiled=True,
            compress="deflate",
            BIGTIFF="IF_SAFER",
        ) as file:
            file.write(pixels)
            file.build_overviews([2, 4, 8, 16])
        return bytes(memory.read())
